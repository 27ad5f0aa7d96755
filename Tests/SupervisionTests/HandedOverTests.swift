import Testing

@testable import Supervision

@Suite("A supervisor that becomes the new executable")
struct HandedOverTests {
  /// A supervisor whose node 41 has been followed by 50, and which has 60 look.
  private func trying() -> Supervisor {
    var supervisor = Supervisor(drainTimeout: 7)
    _ = supervisor.handle(.begin, now: 1)
    _ = supervisor.handle(.started(process: 41), now: 2)
    _ = supervisor.handle(.signal(.upgrade), now: 3)
    _ = supervisor.handle(.successorStarted(process: 50), now: 4)
    for (process, word) in [
      (50, NodeWord.prepared), (41, .retired), (50, .ready),
    ] as [(Int32, NodeWord)] {
      _ = supervisor.handle(.said(process: process, word), now: 5)
    }
    #expect(supervisor.handledOverNothing)
    #expect(
      supervisor.handle(.said(process: 41, .released), now: 6).last == .tryExecutable)
    #expect(supervisor.handle(.trialStarted(process: 60), now: 7) == [])
    return supervisor
  }

  @Test func `once it has looked the supervisor becomes it, and knows what it knew`() {
    var old = trying()
    #expect(old.handle(.ended(process: 60, .exited(0)), now: 8) == [.becomeExecutable])
    #expect(old.deadline == nil)
    let known = old.handedOver
    #expect(known?.node == 50 && known?.since == 6 && known?.draining == [41])
    var state = Self.example
    state.node = 50
    state.since = 6
    state.draining = [41]
    var new = Supervisor(goingOnWith: state)
    #expect(
      new.handle(.ended(process: 41, .exited(0)), now: 9) == [
        .say("node 41, whose place was taken, exited with status 0"), .tell(.gone, process: 50),
      ])
    // Not the first node any more: what would end the command before is only a node's death.
    #expect(
      new.handle(.ended(process: 50, .exited(69)), now: 10) == [
        .say("node 50 exited with status 69, restarting"), .start,
      ])
  }

  @Test(arguments: [
    NodeEnd.exited(64), .exited(69), .died(signal: 11, name: "Segmentation fault"),
  ])
  func `an executable that cannot leaves it what it is`(_ end: NodeEnd) {
    var supervisor = trying()
    #expect(
      supervisor.handle(.ended(process: 60, end), now: 8) == [
        .say("the supervisor stays the executable that it was: the new one \(end)")
      ])
    #expect(supervisor.handle(.signal(.reload), now: 9) == [.send(.reload, process: 50)])
    var other = trying()
    #expect(
      other.handle(.trialFailed(reason: "gone"), now: 8) == [
        .say("the supervisor stays the executable that it was: gone")
      ])
  }

  @Test func `one that does not come to an end is killed`() throws {
    var supervisor = trying()
    let deadline = try #require(supervisor.deadline)
    #expect(supervisor.handle(.deadline, now: deadline) == [.send(.kill, process: 60)])
    #expect(supervisor.deadline == .max)
    let end = NodeEnd.died(signal: 9, name: "Killed")
    #expect(supervisor.handle(.ended(process: 60, end), now: deadline).count == 1)
    #expect(supervisor.deadline == nil)
  }

  @Test func `while something else goes on it does not become it`() {
    var supervisor = trying()
    _ = supervisor.handle(.signal(.upgrade), now: 8)
    #expect(supervisor.handle(.ended(process: 60, .exited(0)), now: 9) == [])
    supervisor = trying()
    _ = supervisor.handle(.signal(.stop), now: 8)
    #expect(supervisor.handle(.ended(process: 60, .exited(0)), now: 9) == [])
  }

  // MARK: What it is told

  private static let example = HandedOver(
    executable: "/opt/we ir/bin/weir", node: 50, since: 6, draining: [41, 43], drainTimeout: 7,
    configuration: 5, channels: [50: 9, 41: 8], traces: [50: 17],
    addresses: [
      HandedOver.Address(number: 0, sockets: [11, 12]),
      HandedOver.Address(number: 4, sockets: [13, 14]),
    ],
    coming: [HandedOver.Address(number: 5, sockets: [15])], admin: 16)

  @Test func `what is written is read again`() {
    let example = Self.example
    #expect(HandedOver(text: example.text) == example)
    #expect(Set(example.descriptors) == [5, 8, 9, 11, 12, 13, 14, 15, 16, 17])
    #expect(Set(example.listening) == [11, 12, 13, 14, 15, 16])
    var least = example
    (least.draining, least.channels, least.addresses, least.coming) = ([], [:], [], [])
    least.traces = [:]
    least.admin = nil
    #expect(HandedOver(text: least.text) == least)
  }

  @Test func `a text that was changed anywhere is none, or says something else`() {
    let text = Array(Self.example.text.utf8)
    for length in 0..<text.count {
      // All lines that are for each of several may be missing: those are the last.
      guard let read = HandedOver(text: String(decoding: text[..<length], as: UTF8.self)) else {
        continue
      }
      #expect(read != Self.example && text[length - 1] == UInt8(ascii: "\n"))
    }
    for place in text.indices {
      var changed = text
      changed[place] = changed[place] == UInt8(ascii: "x") ? UInt8(ascii: "y") : UInt8(ascii: "x")
      let read = HandedOver(text: String(decoding: changed, as: UTF8.self))
      // Only a path may have any letter.
      #expect(read == nil || read?.executable != Self.example.executable)
    }
  }

  @Test(arguments: [
    "weir-supervisor 2", "node 50", "node 050 6", "admin 2", "admin -1", "other 1", "channel 50 9",
    "trace 50 17", "sockets 0 11,", "sockets x 11", "draining x", "admin 99999999999",
  ])
  func `a line that is not of this version's kind makes it none`(_ line: String) {
    #expect(HandedOver(text: Self.example.text + line + "\n") == nil)
  }
}

extension Supervisor {
  /// Whether it could not go on elsewhere now.
  fileprivate var handledOverNothing: Bool { handedOver == nil }
}
