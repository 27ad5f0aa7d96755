import TLS
import Testing

@Suite struct EarlyDataRegisterTests {
  let span = EarlyDataRegister.span

  @Test func `a hello is taken once`() {
    let register = EarlyDataRegister()
    #expect(register.admits(1, now: 0))
    #expect(register.admits(2, now: 5))
    #expect(!register.admits(1, now: 6))
    #expect(!register.admits(1, now: span - 1))
  }

  @Test(arguments: [0, 1, EarlyDataRegister.span - 1])
  func `it is remembered for a span at least, whenever it came`(_ came: Int64) {
    let register = EarlyDataRegister()
    #expect(register.admits(0, now: 0))
    #expect(register.admits(7, now: came))
    #expect(!register.admits(7, now: came + span - 1))
  }

  @Test func `it is forgotten after two spans`() {
    let register = EarlyDataRegister()
    #expect(register.admits(7, now: 0))
    #expect(register.admits(7, now: 2 * span))
    #expect(register.admits(8, now: 2 * span))
    #expect(register.admits(9, now: 3 * span))
    #expect(!register.admits(8, now: 3 * span))
  }

  @Test func `a full register takes nobody until the next span`() {
    let register = EarlyDataRegister(limit: 2)
    #expect(register.admits(1, now: 0))
    #expect(register.admits(2, now: 0))
    #expect(!register.admits(3, now: 1))
    #expect(register.admits(3, now: span))
  }
}
