import Testing

@testable import Replay

@Suite("Budgets and reports")
struct BudgetTests {
  /// A report with round figures.
  static var report: ReplayReport {
    var tally = Tally()
    tally.sent = 1_000
    tally.answers = 990
    tally.failures[SendFailure.timeout.rawValue] = 10
    tally.statuses[200] = 980
    tally.statuses[429] = 10
    tally.lastAnswer = 2_000_000_000
    var hit = ClassTally()
    hit.answers = 900
    hit.contentBytes = 900
    for _ in 0..<900 { hit.latencies.record(1_000_000) }
    var miss = ClassTally()
    miss.answers = 80
    miss.contentBytes = 7_100
    for _ in 0..<80 { miss.latencies.record(10_000_000) }
    var limited = ClassTally()
    limited.answers = 10
    limited.latencies.record(100_000)
    tally.classes[CacheVerdict.hit.rawValue] = hit
    tally.classes[CacheVerdict.miss.rawValue] = miss
    tally.classes[CacheVerdict.limited.rawValue] = limited
    tally.latencies.add(hit.latencies)
    tally.latencies.add(miss.latencies)
    let address = SocketAddressForTests.local
    var second = SecondTally()
    second.answers = 500
    second.sent = 500
    second.judged = 490
    second.hits = 450
    second.record(1_000_000)
    let plan = ReplayPlan(address: address, host: "a<b>")
    return ReplayReport(
      tally, plan: plan, name: "one & two", began: "2026-01-01T00:00:00Z",
      timeline: [LiveSecond(0, second), LiveSecond(1, second)], source: SourceOutcome())
  }

  @Test(arguments: [
    ("p99 < 20ms", true), ("p50 <= 1.01ms", true), ("p50 < 900us", false), ("hit.p99 < 2ms", true),
    ("miss.p50 > 9ms", true), ("miss.p99.9 < 10.1ms", true), ("hit_ratio > 0.9", true),
    ("hit_ratio > 92%", false), ("byte_hit_ratio < 0.12", true), ("errors == 0", false),
    ("error_ratio <= 1%", true), ("limited == 10", true), ("rate >= 495", true),
    ("server_errors == 0", true), ("offload > 0.91", true), ("knee > 5", false),
    ("stale.p99 < 1s", false), ("max < 11ms", true), ("mean < 2ms", true),
  ])
  func `conditions are judged`(text: String, holds: Bool) throws {
    let verdicts = try Budget("# first\n\n\(text) # and last\n").judge(Self.report)
    #expect(verdicts.map(\.holds) == [holds])
    #expect(verdicts.first?.condition.line == 3)
  }

  @Test(arguments: [
    ("p99", "line 1: not NAME COMPARISON VALUE"), ("p98 < 1ms", "line 1: there is no figure p98"),
    ("p99 != 1ms", "line 1: != is none of < <= > >= =="),
    ("p99 < 20", "line 1: 20 is no duration, such as 20ms"),
    ("hit_ratio > x", "line 1: x is no number"),
    ("foo.p99 < 1ms", "line 1: there is no figure foo.p99"),
    ("p99 < infs", "line 1: infs is no duration, such as 20ms"),
    ("rate > nan", "line 1: nan is no number"), ("hit_ratio > inf%", "line 1: inf% is no number"),
    ("", "there is no condition in it"), ("# p99 < 20ms\r\n\r\n", "there is no condition in it"),
  ])
  func `what is no budget says where`(text: String, problem: String) {
    #expect { try Budget(text) } throws: { ($0 as? Budget.Problem)?.description == problem }
  }

  @Test func `the knee is the last rate before the first step that gave way`() {
    var plan = ReplayPlan(address: SocketAddressForTests.local, host: "a")
    plan.pace = .steps(from: 100, by: 100, seconds: 1)
    // Sent, answered, late, and the latency of all, in milliseconds.
    func knee(
      _ steps: [(sent: UInt64, answers: UInt64, late: UInt64, latency: Int64)],
      refused: UInt64 = 0
    ) -> Double? {
      var tally = Tally()
      for (index, one) in steps.enumerated() {
        tally.step(index) { step in
          step.sent = one.sent
          step.answers = one.answers
          step.failures = one.sent - one.answers
          step.late = one.late
          step.refused = refused
          for _ in 0..<one.answers { step.latencies.record(one.latency * 1_000_000) }
        }
      }
      return ReplayReport(
        tally, plan: plan, name: "n", began: "", timeline: [], source: SourceOutcome()
      ).knee
    }
    #expect(knee([(100, 100, 0, 5), (200, 200, 0, 5)]) == 200)
    // Too slow, failing, late, and cut short; what holds behind one that gave way is chance.
    #expect(knee([(100, 100, 0, 5), (200, 200, 0, 101), (300, 300, 0, 5)]) == 100)
    #expect(knee([(100, 100, 0, 5), (200, 197, 0, 5)]) == 100)
    #expect(knee([(100, 100, 0, 5), (200, 200, 11, 5)]) == 100)
    #expect(knee([(100, 100, 0, 5), (150, 150, 0, 5)]) == 100)
    #expect(knee([(100, 0, 0, 5)]) == nil)
    // Fast answers that are refusals are no work done.
    #expect(knee([(100, 100, 0, 5), (200, 200, 0, 5)], refused: 2) == nil)
    #expect(knee([(100, 100, 0, 5), (200, 200, 0, 5)], refused: 1) == 200)
    // What began within the warm-up is not whole.
    plan.warmUp = 500_000_000
    #expect(knee([(50, 50, 0, 5), (200, 200, 0, 5), (300, 300, 0, 5)]) == 300)
  }

  @Test func `percentiles are those of what was recorded`() {
    var latencies = Latencies()
    for microseconds in 1...100_000 as ClosedRange<Int64> { latencies.record(microseconds * 1_000) }
    let report = LatencyReport(latencies)
    for (name, value) in ReplayReport.percentiles {
      let percentile = report.percentile(name) ?? 0
      // Three digits.
      #expect(abs(percentile - value * 1_000) <= value * 1.1, "p\(name) is \(percentile)")
    }
    #expect(abs(report.mean - 50_000) < 100 && abs(report.max - 100_000) < 101)
  }

  @Test func `lines end as each system has it, and micro is a sign or a letter`() throws {
    let budget = try Budget("# first\r\np50 < 900\u{B5}s\r\np50 < 900\u{3BC}s # no\rerrors == 0\n")
    #expect(budget.conditions.map(\.line) == [2, 3, 4])
    #expect(budget.judge(Self.report).map(\.holds) == [false, false, false])
  }

  @Test func `where nothing was answered no latency is short enough`() throws {
    let plan = ReplayPlan(address: SocketAddressForTests.local, host: "a")
    let report = ReplayReport(
      Tally(), plan: plan, name: "n", began: "", timeline: [], source: SourceOutcome())
    let verdicts = try Budget("p99 < 20ms\nmax < 1s\nmean < 1s\nrate >= 0").judge(report)
    #expect(verdicts.map(\.holds) == [false, false, false, false])
    // Nothing was sent: there are no errors, and that says nothing.
    let more = try Budget(
      "errors == 0\nerror_ratio < 1\nserver_errors == 0\nlate == 0\nlimited == 0\nrequests < 1")
    #expect(more.judge(report).map(\.holds) == [false, false, false, false, false, true])
    // Its page has charts of nothing, and no place in them that is no number.
    for page in [report.html(), ReportComparison(report, report).html()] {
      #expect(!page.contains("\"-,") && !page.contains(",-\"") && !page.contains("=-"))
    }
  }

  @Test func `a report comes back from JSON as it was`() throws {
    let report = Self.report
    #expect(ReplayReport(json: Array(report.json().utf8)) == report)
    #expect(ReplayReport(json: Array("{}".utf8)) == nil)
  }

  @Test func `a report fits a terminal`() {
    var report = Self.report
    report.steps = [
      StepReport(
        rate: 100_000, sent: 100_000, answers: 99_999, failures: 1, late: 100_000, p50: 123.4,
        p99: 123_456, holds: false)
    ]
    let lines = report.text().split(separator: "\n").dropFirst()
    #expect(lines.allSatisfy { $0.count <= 80 }, "\(report.text())")
    #expect(report.text().contains("hit ratio  91.84 %, of bytes 11.25 %"))
  }

  @Test func `a page is well-formed, needs nothing else, and shows nothing unescaped`() throws {
    for page in [Self.report.html(), ReportComparison(Self.report, Self.report).html()] {
      #expect(page.contains("<h1>one &amp; two"))
      #expect(page.contains("a&lt;b&gt;"))
      for word in ["http://fonts", "src=", "href=", "<script", "@import", "url("] {
        #expect(!page.contains(word))
      }
      #expect(page.contains("prefers-color-scheme: dark"))
      let opened = page.split(separator: "<svg").count - 1
      #expect(opened >= 4 && page.split(separator: "</svg>").count - 1 == opened)
      #expect(!page.contains("nan") && !page.contains("inf"))
    }
  }

  @Test func `figures of a report that somebody made up are no danger`() {
    for figure in [UInt64.max, 0, 1] {
      var report = Self.report
      (report.failed, report.late, report.sent, report.answers) = (figure, figure, figure, figure)
      report.rate = Double(figure) * 1e280
      report.latency.percentiles = ["50": -1, "99": 1e308, "99.99": 1e-300]
      report.latency.max = 1e308
      for index in report.timeline.indices {
        report.timeline[index].p99 = 1e308
        report.timeline[index].failures = figure
        report.timeline[index].hitRatio = -1e308
      }
      let page = ReportComparison(report, Self.report).html()
      #expect(page.contains("</svg>") && !page.contains("nan") && !page.contains("inf"))
      #expect(ReportComparison(report, Self.report).text().contains("p99"))
      #expect(report.text().contains("p99"))
    }
  }

  @Test func `names of reports are text in a page, whatever is in them`() throws {
    var report = Self.report
    // An accent makes one character of the two, to the eye and to a string, but not to a browser.
    for name in ["<script>alert(1)</script>", "\"\u{301} onload=\"x", "<\u{338}img src=x>"] {
      report.name = name
      report.plan = name
      report.began = name
      report.classes[0].name = name
      report.statuses = [name: 1]
      report.errors = [name: 1]
      let read = try #require(ReplayReport(json: Array(report.json().utf8)))
      for page in [read.html(), ReportComparison(read, read).html()] {
        let scalars = Array(page.unicodeScalars)
        let parts = Array(name.unicodeScalars)
        let hasName = scalars.indices.contains { scalars[$0...].starts(with: parts) }
        #expect(!hasName, "\(name)")
      }
    }
  }

  @Test func `progress fits its line`() {
    let second = LiveSecond(
      index: 99, sent: 5_000, answers: 4_980, failures: 3, late: 12, receivedBytes: 9_000_000,
      hitRatio: 0.91, p50: 210_000, p99: 1_200_000, longest: 5_000_000)
    #expect(
      second.text(width: 100)
        == "100s  4980/s  p50 210µs  p99 1.20ms  3 failed  hits 91.0 %  12 late  8.58 MiB/s")
    for width in 1...90 { #expect(second.text(width: width).count <= width) }
  }
}
