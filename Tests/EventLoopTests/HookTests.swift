import EventLoop
import Synchronization
import Testing

@Suite("Hooks") struct HookTests {
  @Test func `what hangs on it is called, and the last one alone`() {
    let hook = Hook<UInt64>()
    let heard = Mutex<[UInt64]>([])
    #expect(!hook.call(1))
    hook.set { number in heard.withLock { $0.append(number) } }
    #expect(hook.call(2))
    hook.set { number in heard.withLock { $0.append(number * 10) } }
    #expect(hook.call(3))
    hook.set(nil)
    #expect(!hook.call(4))
    #expect(heard.withLock { $0 } == [2, 30])
  }

  /// Each call of a function that is kept in a `Mutex` itself goes through two more than the one before.
  @Test func `the thousandth call is no deeper than the first`() {
    let hook = Hook<UInt64>()
    let places = Mutex<Set<UInt>>([])
    hook.set { number in
      var local = number
      let place = unsafe withUnsafeMutablePointer(to: &local) { UInt(bitPattern: $0) }
      _ = places.withLock { $0.insert(place) }
    }
    for number in 0..<1_000 { hook.call(UInt64(number)) }
    #expect(places.withLock { $0.count } == 1)
  }
}
