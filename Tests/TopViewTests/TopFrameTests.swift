import Testing

@testable import TopView

@Suite("The view of weir top") struct TopFrameTests {
  /// A node's figures at a time; `step` is what a second adds to every count.
  private func figures(second: Double, step: UInt64, store: Bool = true) -> TopFigures {
    TopFigures(
      status: TopFigures.Status(
        version: "1.2.3", node: "edge-1", uptime_seconds: 93_784 + second, workers: 4,
        connections: TopFigures.Connections(open: 512),
        requests: TopFigures.Requests(limited: 3 * step),
        fills: TopFigures.Fills(under_way: 12),
        store: store
          ? TopFigures.Store(
            objects: 1_234_567, bytes: 7 << 30, limit_bytes: 10 << 30, stored: 40 * step,
            evicted: 12 * step, purges_pending: 1, writing_ended: false) : nil),
      sample: TopFigures.Sample(
        time: 1_767_225_600 + second, sent_bytes: step * 100_000_000,
        results: [step * 9_000, step * 1_000, 0],
        durations: [step * 5_000, step * 4_900, 0, step * 100]),
      result_names: ["hit", "miss", "pass"], duration_bounds_us: [50, 100, 200],
      classes: ["2xx": step * 9_990, "4xx": step * 10, "5xx": 0],
      origin_received_bytes: step * 2_000_000,
      limits: [TopFigures.Limit(name: "login", delayed: step, rejected: 3 * step, waiting: 2)],
      origins: [
        TopFigures.Origin(
          name: "app", files: nil, in_flight: 3, requests: step * 1_000,
          servers: [
            TopFigures.Server(
              name: "10.0.0.1:9000", state: "up", in_flight: 2, requests: step * 700, failures: 0,
              mean_latency_ms: 12.25),
            TopFigures.Server(
              name: "10.0.0.2:9000", state: "ejected", in_flight: 1, requests: step * 300,
              failures: step * 2, mean_latency_ms: 250),
          ]),
        TopFigures.Origin(
          name: "files", files: "/srv/www", in_flight: 0, requests: step, servers: []),
      ])
  }

  private var lists: TopLists {
    var lists = TopLists()
    lists.hits = (1...30).map {
      TopLists.Entry(
        name: "https://shop.example/p/\($0)", count: UInt64(40_000 / $0), bytes: 1_500 << $0 / 2)
    }
    lists.misses = (1...30).map {
      TopLists.Entry(
        name: "https://shop.example/search?q=\($0)", count: UInt64(3_100 - $0 * 100),
        bytes: UInt64($0) * 10_000, why: "uri-miss \($0)")
    }
    lists.tags = (1...3).map {
      TopLists.Entry(name: "group-\($0)", count: UInt64(90_000 / $0), bytes: 1_500 << $0)
    }
    lists.keys = (1...9).map {
      TopLists.Key(limit: "login", key: "203.0.113.\($0)", weight: 1_000 - UInt64($0), rejected: 7)
    }
    return lists
  }

  private var summary: TopSummary {
    TopSummary(figures(second: 2, step: 7), after: figures(second: 0, step: 5), lists)
  }

  @Test func `a small terminal has the sums and the beginnings of lists`() {
    let lines = TopFrame.lines(summary, columns: 80, rows: 24)
    #expect(lines.count == 24)
    #expect(TopFrame.text(lines) == Self.small)
  }

  @Test func `a large one has more of them, and both lists of URLs`() {
    var options = TopOptions()
    options.turnOrder()
    options.isPaused = true
    let lines = TopFrame.lines(summary, columns: 120, rows: 60, options)
    #expect(lines.count == 60)
    #expect(TopFrame.text(lines) == Self.large)
  }

  @Test(arguments: [0, 1, 2, 7, 10, 23, 24, 25, 50, 200], [0, 1, 10, 79, 80, 300])
  func `every frame fits its terminal`(_ rows: Int, _ columns: Int) {
    for order in TopOptions.Order.allCases {
      var options = TopOptions()
      options.order = order
      let lines = TopFrame.lines(summary, columns: columns, rows: rows, options)
      #expect(lines.count == rows)
      #expect(lines.allSatisfy { $0.text.unicodeScalars.count <= columns })
    }
  }

  @Test func `what a client has sent cannot command the terminal`() {
    var lists = TopLists()
    lists.hits = [
      TopLists.Entry(name: "http://a/\u{1b}[2J\u{9b}\u{202e}é\r\n漢", count: 1, bytes: 1)
    ]
    let summary = TopSummary(figures(second: 2, step: 7), after: figures(second: 0, step: 5), lists)
    let lines = TopFrame.lines(summary, columns: 80, rows: 24)
    let text = lines.map(\.text).joined()
    #expect(text.utf8.allSatisfy { (0x20..<0x7F).contains($0) })
    #expect(text.contains("http://a/.[2J......"))
  }

  @Test func `a node that was started anew begins at nothing`() {
    var fresh = figures(second: 0, step: 2)
    fresh.status.uptime_seconds = 1
    fresh.sample.time += 2
    let summary = TopSummary(fresh, after: figures(second: 0, step: 900), lists)
    #expect(summary.requests_per_second == 10_000)
    #expect(summary.store?.stored_per_second == 40)
  }

  @Test func `without requests there is no ratio and no latency`() {
    let still = figures(second: 0, step: 5, store: false)
    let summary = TopSummary(figures(second: 1, step: 5, store: false), after: still, TopLists())
    #expect(summary.hit_ratio == nil && summary.latency_ms == nil)
    let text = TopFrame.text(TopFrame.lines(summary, columns: 80, rows: 24))
    #expect(text.contains("hits -") && text.contains("latency   -\n"))
    #expect(text.contains("store     none\n"))
  }

  @Test(arguments: [
    (9.9, "9.9/s"), (9.96, "10/s"), (0.0, "0/s"), (12_345.4, "12,345/s"), (.infinity, "0/s"),
    (-1.0, "0/s"),
  ])
  func `rates are short`(_ value: Double, _ text: String) { #expect(TopText.rate(value) == text) }

  @Test(arguments: [
    (0.0, "0 B"), (999, "999 B"), (1_000, "1.0 KB"), (1_048_576, "1.0 MB"), (1_023_990, "1.0 MB"),
    (1e30, "888,178,419,700.1 PB"),
  ])
  func `sizes are short`(_ value: Double, _ text: String) {
    #expect(TopText.bytes(value).hasSuffix(text.suffix(2)))
    if value < 1e15 { #expect(TopText.bytes(value) == text) }
  }

  @Test(arguments: [
    (0.0, "0.0 ms"), (0.004, "0.00 ms"), (0.05, "0.05 ms"), (0.999, "0.99 ms"), (3.14, "3.1 ms"),
    (120.4, "120 ms"), (2_500, "2.5 s"),
  ])
  func `times are short`(_ value: Double, _ text: String) {
    #expect(TopText.milliseconds(value) == text)
  }
}

extension TopFrameTests {
  fileprivate static let small = """
    weir 1.2.3  edge-1                        up 1d 02:03:06   4 workers   00:00:02Z
    requests  10,000/s   hits 90.0 %   open 512   fills 12
    traffic   out 95.4 MB/s   from origins 1.9 MB/s
    latency   p50 0.05 ms   p90 0.09 ms   p99 0.10 ms   p99.9 0.20 ms
    status    2xx 9,990/s   3xx 0/s   4xx 10/s   5xx 0/s
    limits    refused 3.0/s   delayed 1.0/s   waiting 2
    store     1,234,567 objects  70.0 % of 10.0 GB  in 40/s  evicted 12/s  purges 1

          HITS     BYTES  URL, BY HITS OF LATE
        40,000    1.5 KB  https://shop.example/p/1
        20,000    2.9 KB  https://shop.example/p/2
        13,333    5.9 KB  https://shop.example/p/3
        10,000   11.7 KB  https://shop.example/p/4
         8,000   23.4 KB  https://shop.example/p/5
         6,666   46.9 KB  https://shop.example/p/6

    STATE       REQUESTS  FAILURES  FLIGHT      MEAN  ORIGIN AND SERVER
    ejected        300/s     2.0/s       1    250 ms  app 10.0.0.2:9000
    up             700/s       0/s       2   12.3 ms  app 10.0.0.1:9000

        WEIGHT   REFUSED  LIMIT AND KEY
           999         7  login 203.0.113.1
           998         7  login 203.0.113.2

    """
  fileprivate static let large = """
    weir 1.2.3  edge-1  PAUSED                                                        up 1d 02:03:06   4 workers   00:00:02Z
    requests  10,000/s   hits 90.0 %   open 512   fills 12
    traffic   out 95.4 MB/s   from origins 1.9 MB/s
    latency   p50 0.05 ms   p90 0.09 ms   p99 0.10 ms   p99.9 0.20 ms
    status    2xx 9,990/s   3xx 0/s   4xx 10/s   5xx 0/s
    limits    refused 3.0/s   delayed 1.0/s   waiting 2
    store     1,234,567 objects   [###########.....] 70.0 % of 10.0 GB   in 40/s   evicted 12/s   purges 1

        MISSES     BYTES  URL, BY MISSES OF LATE
         3,000    9.8 KB  https://shop.example/search?q=1  (uri-miss 1)
         2,900   19.5 KB  https://shop.example/search?q=2  (uri-miss 2)
         2,800   29.3 KB  https://shop.example/search?q=3  (uri-miss 3)
         2,700   39.1 KB  https://shop.example/search?q=4  (uri-miss 4)
         2,600   48.8 KB  https://shop.example/search?q=5  (uri-miss 5)
         2,500   58.6 KB  https://shop.example/search?q=6  (uri-miss 6)
         2,400   68.4 KB  https://shop.example/search?q=7  (uri-miss 7)
         2,300   78.1 KB  https://shop.example/search?q=8  (uri-miss 8)
         2,200   87.9 KB  https://shop.example/search?q=9  (uri-miss 9)
         2,100   97.7 KB  https://shop.example/search?q=10  (uri-miss 10)
         2,000  107.4 KB  https://shop.example/search?q=11  (uri-miss 11)
         1,900  117.2 KB  https://shop.example/search?q=12  (uri-miss 12)
         1,800  127.0 KB  https://shop.example/search?q=13  (uri-miss 13)

    STATE       REQUESTS  FAILURES  FLIGHT      MEAN  ORIGIN AND SERVER
    ejected        300/s     2.0/s       1    250 ms  app 10.0.0.2:9000
    up             700/s       0/s       2   12.3 ms  app 10.0.0.1:9000
    files          1.0/s       0/s       0    0.0 ms  files /srv/www

        WEIGHT   REFUSED  LIMIT AND KEY
           999         7  login 203.0.113.1
           998         7  login 203.0.113.2
           997         7  login 203.0.113.3
           996         7  login 203.0.113.4
           995         7  login 203.0.113.5
           994         7  login 203.0.113.6
           993         7  login 203.0.113.7
           992         7  login 203.0.113.8
           991         7  login 203.0.113.9

          HITS     BYTES  TAG, BY HITS OF LATE
        90,000    2.9 KB  group-1
        45,000    5.9 KB  group-2
        30,000   11.7 KB  group-3

          HITS     BYTES  URL, BY HITS OF LATE
        40,000    1.5 KB  https://shop.example/p/1
        20,000    2.9 KB  https://shop.example/p/2
        13,333    5.9 KB  https://shop.example/p/3
        10,000   11.7 KB  https://shop.example/p/4
         8,000   23.4 KB  https://shop.example/p/5
         6,666   46.9 KB  https://shop.example/p/6
         5,714   93.8 KB  https://shop.example/p/7
         5,000  187.5 KB  https://shop.example/p/8
         4,444  375.0 KB  https://shop.example/p/9
         4,000  750.0 KB  https://shop.example/p/10
         3,636    1.5 MB  https://shop.example/p/11
         3,333    2.9 MB  https://shop.example/p/12
         3,076    5.9 MB  https://shop.example/p/13
         2,857   11.7 MB  https://shop.example/p/14

    """
}
