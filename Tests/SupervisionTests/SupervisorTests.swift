import Supervision
import Testing

private let second: Int64 = 1_000_000_000
private let segmentationFault = NodeEnd.died(signal: 11, name: "Segmentation fault")

/// A supervisor whose nodes are numbers.
private struct Scene {
  var supervisor: Supervisor
  var now: Int64 = 100 * second
  private var lastProcess: Int32 = 40

  init(drainTimeout: Int64 = 30 * second) { supervisor = Supervisor(drainTimeout: drainTimeout) }

  /// What it does at an event; nodes that it starts run at once.
  mutating func after(_ event: Supervisor.Event) -> [Supervisor.Action] {
    var actions = supervisor.handle(event, now: now)
    if actions.last == .start {
      lastProcess += 1
      actions += supervisor.handle(.started(process: lastProcess), now: now)
    }
    return actions
  }

  /// The node lives for so long, then it is gone; returns when there is another, and after what pause.
  mutating func crash(after life: Int64) -> Int64 {
    now += life
    _ = after(.ended(process: lastProcess, segmentationFault))
    guard let deadline = supervisor.deadline else { return 0 }
    let pause = deadline - now
    now = deadline
    _ = after(.deadline)
    return pause
  }

  /// With a node that runs as process 41.
  static func running(drainTimeout: Int64 = 30 * second) -> Scene {
    var scene = Scene(drainTimeout: drainTimeout)
    _ = scene.after(.begin)
    return scene
  }
}

@Suite("What keeps a node running")
struct SupervisorTests {
  @Test func `it starts a node`() {
    var scene = Scene()
    #expect(scene.after(.begin) == [.start, .say("node 41 started")])
    #expect(scene.supervisor.deadline == nil)
  }

  @Test func `a node that dies is followed by another at once`() {
    var scene = Scene.running()
    #expect(
      scene.after(.ended(process: 41, segmentationFault)) == [
        .say("node 41 died by signal 11 (Segmentation fault), restarting"), .start,
        .say("node 42 started"),
      ])
  }

  @Test func `a node that dies again at its start is followed after a pause`() {
    var scene = Scene.running()
    _ = scene.after(.ended(process: 41, segmentationFault))
    #expect(
      scene.after(.ended(process: 42, .exited(3))) == [
        .say("node 42 exited with status 3, restarting in 100 ms")
      ])
    #expect(scene.supervisor.deadline == scene.now + second / 10)
    #expect(scene.after(.deadline) == [])
    scene.now += second / 10
    #expect(scene.after(.deadline) == [.start, .say("node 43 started")])
  }

  @Test func `the pause doubles up to five seconds`() {
    var scene = Scene.running()
    let pauses = (0..<10).map { _ in scene.crash(after: second / 2) / 1_000_000 }
    #expect(pauses == [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000])
  }

  @Test func `the pause stays as it is when nodes live for some seconds`() {
    var scene = Scene.running()
    for _ in 0..<3 { _ = scene.crash(after: 0) }
    #expect(scene.crash(after: 2 * second) == second / 5)
    #expect(scene.crash(after: 9 * second) == second / 5)
  }

  @Test func `the pause is forgotten once a node has run for ten seconds`() {
    var scene = Scene.running()
    for _ in 0..<5 { _ = scene.crash(after: 0) }
    #expect(scene.crash(after: 10 * second) == 0)
    #expect(scene.crash(after: 0) == second / 10)
  }

  @Test(arguments: [ExitStatus.unavailable, ExitStatus.configuration])
  func `if the first node refuses to start, so does the supervisor`(status: Int32) {
    var scene = Scene.running()
    #expect(scene.after(.ended(process: 41, .exited(status))) == [.exit(status)])
  }

  @Test(arguments: [ExitStatus.unavailable, ExitStatus.configuration])
  func `a later node that refuses to start is tried again`(status: Int32) {
    var scene = Scene.running()
    _ = scene.crash(after: 60 * second)
    #expect(
      scene.after(.ended(process: 42, .exited(status))) == [
        .say("node 42 exited with status \(status), restarting in 100 ms")
      ])
  }

  @Test func `a node that ends without being asked to is followed by another`() {
    var scene = Scene.running()
    #expect(
      scene.after(.ended(process: 41, .exited(0))).first
        == .say("node 41 exited with status 0, restarting"))
  }

  @Test func `if the system refuses the first node, the supervisor ends`() {
    var scene = Scene()
    _ = scene.supervisor.handle(.begin, now: 0)
    #expect(
      scene.after(.startFailed(reason: "no memory")) == [
        .say("cannot start a node: no memory"), .exit(69),
      ])
  }

  @Test func `if the system refuses a later node, it is tried again`() {
    var scene = Scene.running()
    _ = scene.supervisor.handle(.ended(process: 41, segmentationFault), now: scene.now)
    #expect(
      scene.after(.startFailed(reason: "no memory")) == [
        .say("cannot start a node: no memory, restarting in 100 ms")
      ])
  }

  @Test func `other children that end mean nothing`() {
    var scene = Scene.running()
    #expect(scene.after(.ended(process: 7, segmentationFault)) == [])
  }

  @Test func `what an operator wants of the node is passed on`() {
    var scene = Scene.running()
    #expect(scene.after(.signal(.reopenLogs)) == [.send(.reopenLogs, process: 41)])
    #expect(scene.after(.signal(.reload)) == [.send(.reload, process: 41)])
  }

  @Test func `nothing is passed on while there is no node`() {
    var scene = Scene.running()
    _ = scene.crash(after: 0)
    _ = scene.supervisor.handle(.ended(process: 42, segmentationFault), now: scene.now)
    #expect(scene.after(.signal(.reopenLogs)) == [])
  }
}

@Suite("How a supervisor ends")
struct SupervisorEndTests {
  @Test func `it closes its sockets, lets the node drain, and ends`() {
    var scene = Scene.running()
    let message = "stopping; node 41 finishes what is in flight (a second signal ends it now)"
    #expect(
      scene.after(.signal(.stop)) == [.closeSockets, .say(message), .send(.stop, process: 41)])
    #expect(scene.after(.ended(process: 41, .exited(0))) == [.say("stopped"), .exit(0)])
  }

  @Test func `a second signal kills the node, and the loss shows in the status`() {
    var scene = Scene.running()
    _ = scene.after(.signal(.stop))
    #expect(
      scene.after(.signal(.stop)) == [
        .say("node 41 is killed at the second signal"), .send(.kill, process: 41),
      ])
    #expect(scene.after(.signal(.stop)) == [])
    #expect(scene.supervisor.deadline == nil)
    #expect(
      scene.after(.ended(process: 41, .died(signal: 9, name: "Killed"))) == [
        .say("stopped; node 41 died by signal 9 (Killed), and what was in flight is lost"),
        .exit(1),
      ])
  }

  @Test func `a node that outlives its drain timeout is killed`() {
    var scene = Scene.running(drainTimeout: 7 * second)
    _ = scene.after(.signal(.stop))
    #expect(scene.supervisor.deadline == scene.now + 7 * second + Supervisor.grace)
    scene.now += 7 * second + Supervisor.grace
    #expect(scene.after(.deadline).last == .send(.kill, process: 41))
  }

  @Test func `a drain timeout without end never kills`() {
    var scene = Scene.running(drainTimeout: .max)
    _ = scene.after(.signal(.stop))
    #expect(scene.supervisor.deadline == .max)
  }

  @Test func `the status of a node that fails to drain is the supervisor's`() {
    var scene = Scene.running()
    _ = scene.after(.signal(.stop))
    #expect(scene.after(.ended(process: 41, .exited(5))).last == .exit(5))
  }

  @Test func `without a node it ends at once`() {
    var scene = Scene.running()
    _ = scene.crash(after: 0)
    _ = scene.supervisor.handle(.ended(process: 42, segmentationFault), now: scene.now)
    #expect(scene.after(.signal(.stop)) == [.closeSockets, .say("stopped"), .exit(0)])
    #expect(scene.supervisor.deadline == nil)
  }
}

@Suite("The numbers of inherited sockets")
struct InheritedSocketsTests {
  @Test(arguments: ["3", "3,4", "3,4;5,6", "10;11;12", ""])
  func `what is written is read again`(text: String) {
    #expect(InheritedSockets(text: text)?.text == text)
  }

  @Test(arguments: [
    ";", ",", "3,", "3;", "x", "3 4", "03", "+3", "-3", "2", "0", "3,4;5", "3,3", "3;3",
    "99999999999",
  ])
  func `anything else is refused`(text: String) {
    #expect(InheritedSockets(text: text) == nil)
  }

  @Test func `there is a socket for each worker`() {
    #expect(InheritedSockets(text: "3,4;5,6")?.workers == 2)
    #expect(InheritedSockets(text: "")?.workers == nil)
  }
}

@Suite("What takes a node's place")
struct UpgradeRuleTests {
  /// A scene in which 50 is to take the place of 41, as far as the words that were said.
  private func upgrading(_ said: [(Int32, NodeWord)] = []) -> Scene {
    var scene = Scene.running()
    #expect(
      scene.after(.signal(.upgrade)) == [
        .say("upgrade: starting what takes node 41's place"), .startSuccessor,
      ])
    #expect(scene.after(.successorStarted(process: 50)) == [.say("node 50 started")])
    for (process, word) in said { _ = scene.after(.said(process: process, word)) }
    return scene
  }

  @Test func `each does its part when the other has done its own`() {
    var scene = upgrading()
    #expect(scene.after(.said(process: 50, .prepared)) == [.tell(.retire, process: 41)])
    #expect(scene.after(.said(process: 41, .retired)) == [.tell(.open, process: 50)])
    #expect(scene.after(.said(process: 50, .ready)) == [.tell(.release, process: 41)])
    #expect(
      scene.after(.said(process: 41, .released)) == [
        .tell(.begin, process: 50),
        .say("node 50 has taken the place of node 41, which drains"), .tryExecutable,
      ])
    #expect(
      scene.after(.ended(process: 41, .exited(0))) == [
        .say("node 41, whose place was taken, exited with status 0"), .tell(.gone, process: 50),
      ])
    #expect(scene.after(.signal(.stop)).contains(.send(.stop, process: 50)))
  }

  @Test func `bodies are kept until the last that may send them has ended`() {
    var scene = upgrading([(50, .prepared), (41, .retired), (50, .ready), (41, .released)])
    _ = scene.after(.signal(.upgrade))
    _ = scene.after(.successorStarted(process: 60))
    for (process, word) in [
      (60, NodeWord.prepared), (50, .retired), (60, .ready), (50, .released),
    ] as [(Int32, NodeWord)] {
      _ = scene.after(.said(process: process, word))
    }
    #expect(scene.after(.ended(process: 50, .exited(0))).count == 1)
    #expect(scene.after(.ended(process: 41, .exited(0))).last == .tell(.gone, process: 60))
  }

  @Test func `words that are not due, and of others, change nothing`() {
    var scene = upgrading()
    for word in [NodeWord.ready, .retired, .released] {
      #expect(scene.after(.said(process: 50, word)) == [])
      #expect(scene.after(.said(process: 41, word)) == [])
    }
    #expect(scene.after(.said(process: 41, .prepared)) == [])
  }

  @Test func `a successor that cannot work leaves the old one as it is`() {
    for end in [NodeEnd.exited(78), segmentationFault] {
      var scene = upgrading()
      #expect(
        scene.after(.ended(process: 50, end)) == [
          .say("upgrade failed: node 50 \(end); node 41 goes on")
        ])
      #expect(scene.after(.signal(.reload)) == [.send(.reload, process: 41)])
    }
    var scene = Scene.running()
    _ = scene.after(.signal(.upgrade))
    #expect(
      scene.after(.successorFailed(reason: "gone")) == [
        .say("upgrade failed: gone; node 41 goes on")
      ])
  }

  @Test func `one that dies with the store is followed by a node as it was`() {
    for said in [
      [(50, NodeWord.prepared)], [(50, .prepared), (41, .retired)],
      [(50, .prepared), (41, .retired), (50, .ready)],
    ] as [[(Int32, NodeWord)]] {
      var scene = upgrading(said)
      let actions = scene.after(.ended(process: 50, segmentationFault))
      #expect(actions.dropFirst() == [.send(.stop, process: 41), .start, .say("node 42 started")])
      #expect(scene.after(.ended(process: 41, .exited(0))).contains(.tell(.gone, process: 42)))
    }
  }

  @Test func `an old one that dies meanwhile is not waited for`() {
    var scene = upgrading()
    _ = scene.after(.ended(process: 41, segmentationFault))
    #expect(scene.after(.said(process: 50, .prepared)) == [.tell(.open, process: 50)])
    #expect(scene.after(.said(process: 50, .ready)).first == .tell(.begin, process: 50))

    scene = upgrading([(50, .prepared)])
    #expect(scene.after(.ended(process: 41, segmentationFault)).last == .tell(.open, process: 50))

    scene = upgrading([(50, .prepared), (41, .retired), (50, .ready)])
    #expect(
      scene.after(.ended(process: 41, segmentationFault)).contains(.tell(.begin, process: 50)))
  }

  @Test func `a successor that takes too long is killed`() {
    var scene = upgrading()
    scene.now = scene.supervisor.deadline ?? 0
    #expect(
      scene.after(.deadline) == [
        .say("upgrade: node 50 is killed: it takes too long"), .send(.kill, process: 50),
      ])
    #expect(scene.supervisor.deadline == .max)
    #expect(
      scene.after(.ended(process: 50, .died(signal: 9, name: "Killed")))
        == [.say("upgrade failed: node 50 died by signal 9 (Killed); node 41 goes on")])
  }

  @Test func `a stop ends both, and a reload waits or wins`() {
    var scene = upgrading()
    let actions = scene.after(.signal(.stop))
    #expect(actions.first == .send(.kill, process: 50))
    #expect(actions.last == .send(.stop, process: 41))
    #expect(scene.after(.ended(process: 50, .died(signal: 9, name: "Killed"))) == [])

    scene = upgrading([(50, .prepared)])
    #expect(scene.after(.signal(.reload)) == [.say("not now: an upgrade is under way")])

    scene = upgrading()
    #expect(scene.after(.reloaded).last == .send(.kill, process: 50))
  }

  @Test func `without a node that runs there is no upgrade`() {
    var scene = Scene()
    #expect(
      scene.supervisor.handle(.signal(.upgrade), now: 0)
        == [.say("no upgrade: there is no node that runs steadily")])
  }
}
