import Configuration
import Doctor
import EventLoop
import Testing

@Suite("What a node needs of its machine")
struct CheckTests {
  private static let good = [
    "/proc/sys/net/core/somaxconn": "4096\n", "/proc/sys/net/ipv4/tcp_max_syn_backlog": "8192\n",
    "/proc/sys/net/ipv4/ip_local_port_range": "10240\t65000\n",
    "/proc/sys/net/ipv4/tcp_tw_reuse": "2\n",
    "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "0\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
  ]

  @Test func `a kernel that is set up is fine, and files that are not there say nothing`() {
    let findings = SystemChecks.kernel { Self.good[$0] }
    #expect(findings.count == 6 && findings.allSatisfy { $0.state == .ok && $0.advice == nil })
    #expect(SystemChecks.kernel { _ in nil }.isEmpty)
  }

  @Test(arguments: [
    ("/proc/sys/net/core/somaxconn", "128", "sysctl -w net.core.somaxconn=4096"),
    ("/proc/sys/net/ipv4/ip_local_port_range", "60000 61000", "\"10240 65000\""),
    ("/proc/sys/net/ipv4/tcp_tw_reuse", "0", "sysctl -w net.ipv4.tcp_tw_reuse=1"),
    ("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "1", "after_idle=0"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise", "echo madvise"),
  ])
  func `each setting that is not says what to do`(_ path: String, _ text: String, _ advice: String)
  {
    let findings = SystemChecks.kernel { $0 == path ? text : Self.good[$0] }
    let wrong = findings.filter { $0.state != .ok }
    #expect(wrong.count == 1 && wrong.first?.state == .warning)
    #expect(wrong.first?.advice?.contains(advice) == true)
  }

  @Test(
    arguments: [
      (1_048_576, CheckFinding.State.ok), (201_024, .ok), (150_000, .warning), (1_024, .error),
    ] as [(UInt64, CheckFinding.State)])
  func `descriptors are counted against connections`(_ limit: UInt64, _ state: CheckFinding.State) {
    #expect(SystemChecks.descriptors(limit: limit, connections: 100_000).state == state)
  }

  @Test func `a clock is judged by what has happened and by other clocks`() {
    #expect(SystemChecks.clock(now: 10, built: 11, others: []).state == .error)
    #expect(SystemChecks.clock(now: 12, built: 11, others: []).state == .ok)
    #expect(SystemChecks.clock(now: 12, built: 11, others: [("a", 2), ("b", -3)]).state == .ok)
    #expect(SystemChecks.clock(now: 12, built: 11, others: [("a", -30)]).state == .warning)
    let far = SystemChecks.clock(now: 12, built: 11, others: [("a", 1), ("b:80", 3_600)])
    #expect(far.state == .error && far.text.hasPrefix("3600 s behind b:80's"))
  }

  @Test func `a store wants room, rights and a disk of its own machine`() {
    func states(_ change: (inout DirectoryFacts) -> Void) -> [CheckFinding] {
      var facts = DirectoryFacts()
      change(&facts)
      return StoreChecks.directory("/s", size: 1 << 30, facts).filter { $0.state != .ok }
    }
    #expect(states { _ in }.isEmpty)
    #expect(states { $0.isWritable = false }.map(\.state) == [.error])
    #expect(states { $0.kind = 0x6969 }.map(\.subject) == ["file system"])
    #expect(states { $0.kind = 0x0102_1994 }.map(\.state) == [.warning])
    #expect(states { $0.free = 1 << 30 }.map(\.subject) == ["free space"])
    #expect(
      states {
        $0.free = 1 << 29
        $0.used = 1 << 30
      }.isEmpty)
    #expect(states { $0.names = ["data.mdb", "damaged"] }.map(\.state) == [.warning])
  }

  @Test func `findings are lines, or JSON`() {
    let findings = [
      CheckFinding(.ok, "a", "fine"), CheckFinding(.error, "long", "bad \"x\"", advice: "do it"),
    ]
    #expect(
      CheckFinding.text(findings) == """
        ok       a     fine
        ERROR    long  bad "x"
                       → do it

        """)
    #expect(CheckFinding.json(findings).contains(#""text": "bad \"x\"", "advice": "do it"}"#))
  }

  @Test func `a configuration's servers and addresses are looked at`() throws {
    let open = try Socket.listen(
      on: try #require(SocketAddress(host: "127.0.0.1", port: 0)), shared: false)
    let port = try #require(Socket.localAddress(of: open)?.port)
    let text = """
      listen 127.0.0.1:\(port);
      origin up 127.0.0.1:\(port); origin down 127.0.0.1:1; origin unix "unix:/nonexistent.sock";
      site a { origin up; } site b { origin down; } site c { origin unix; }
      """
    let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: "/")
    let configuration = try #require(loaded.configuration)
    let findings = Checkup(configuration, node: nil, now: 4_000_000_000, patience: 300).findings()
    func state(_ subject: String) -> CheckFinding.State? {
      findings.first { $0.subject == subject }?.state
    }
    #expect(state("origin up") == .ok)
    #expect(state("origin down") == .error)
    #expect(state("origin unix") == .error)
    let listener = try #require(findings.first { $0.subject == "listener" })
    #expect(listener.state == .error && listener.advice?.contains("ss -ltnp") == true)
    #expect(state("node") == .warning && state("store") == .warning && state("descriptors") != nil)
    for finding in findings where finding.state != .ok { #expect(finding.advice != nil) }
  }
}
