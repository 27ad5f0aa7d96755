// What `weir top` shows: a pure function of a node's second, a size and what the operator has chosen. Lines
// are plain ASCII, never wider than the terminal and never more than it has; the terminal's own codes are
// put around them at the very end (`TopFrame.painted`).
//
// The first lines are the node's sums. Below come lists, each as long as there is room: of what the
// operator has chosen first, then servers of origins, then keys of limits; and if there are lines left
// tags and the other list of URLs.

/// What the operator has chosen.
package struct TopOptions: Sendable, Equatable {
  /// What the list of URLs is about.
  package enum Order: String, Sendable, CaseIterable {
    /// Those that are hit most.
    case hits
    /// Those that origins are asked for most.
    case misses
    /// Those with the most bytes from origins.
    case bytes
    /// Not URLs, but the tags that are hit most.
    case tags
  }

  package var order = Order.hits
  package var isPaused = false
  /// What goes wrong just now, in the last line.
  package var notice: String?

  /// Hits, live.
  package init() {}

  /// Chooses the next order.
  package mutating func turnOrder() {
    let all = Order.allCases
    let place = all.firstIndex(of: order) ?? 0
    order = all[(place + 1) % all.count]
  }
}

/// A line of a frame.
package struct TopLine: Sendable, Equatable {
  /// How it stands out, where a terminal can do that.
  package enum Look: Sendable {
    case plain, title, alarm
  }

  package var text: String
  package var look: Look = .plain

  /// The line without what trails it.
  init(_ text: String, _ look: Look = .plain, columns: Int) {
    var shown = String(TopText.visible(text).prefix(max(0, columns)))
    while shown.last == " " { shown.removeLast() }
    self.text = shown
    self.look = look
  }
}

/// See the top of the file.
package enum TopFrame {
  /// The frame of a terminal of that size.
  package static func lines(
    _ summary: TopSummary, columns: Int, rows: Int, _ options: TopOptions = TopOptions()
  ) -> [TopLine] {
    var lines = head(summary, columns, options)
    // One line at the end says what the keys do.
    let room = max(0, rows - lines.count - 1)
    for section in sections(summary, room, options) {
      lines.append(TopLine("", columns: columns))
      lines.append(TopLine(section.title, .title, columns: columns))
      lines += section.rows.map { TopLine($0.text, $0.look, columns: columns) }
    }
    lines = Array(lines.prefix(max(0, rows - 1)))
    while lines.count < rows - 1 { lines.append(TopLine("", columns: columns)) }
    if rows > 0 {
      let keys = "q quit   s next list (now: \(options.order.rawValue))   p pause"
      lines.append(
        TopLine(options.notice ?? keys, options.notice == nil ? .plain : .alarm, columns: columns))
    }
    return lines
  }

  /// The frame as text: a line each, without the empty ones at its end and the keys.
  package static func text(_ lines: [TopLine]) -> String {
    var shown = lines.dropLast().map(\.text)
    while shown.last == "" { shown.removeLast() }
    return shown.map { $0 + "\n" }.joined()
  }

  /// The frame for a terminal (ECMA-48): from the top left corner, each line cleared behind its end.
  package static func painted(_ lines: [TopLine]) -> String {
    let rows = lines.map { line in
      let (begin, end) =
        switch line.look {
        case .plain: ("", "")
        case .title: ("\u{1b}[1m", "\u{1b}[0m")
        case .alarm: ("\u{1b}[31m", "\u{1b}[0m")
        }
      return begin + line.text + end + "\u{1b}[K"
    }
    return "\u{1b}[H" + rows.joined(separator: "\r\n") + "\u{1b}[J"
  }

  // MARK: Sums

  private static func head(
    _ summary: TopSummary, _ columns: Int, _ options: TopOptions
  ) -> [TopLine] {
    let name = "weir \(summary.version)  \(summary.node)" + (options.isPaused ? "  PAUSED" : "")
    let times =
      "up \(TopText.duration(summary.uptime_seconds))   \(summary.workers) workers   "
      + TopText.clock(summary.time)
    let gap = max(2, columns - name.count - times.count)
    let hits = summary.hit_ratio.map { TopText.percent($0) } ?? "-"
    let latency = summary.latency_ms.map { latency in
      [("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p99.9", latency.p999)]
        .map { "\($0) \(TopText.milliseconds($1))" }.joined(separator: "   ")
    }
    let classes = ["2xx", "3xx", "4xx", "5xx"].map { name in
      "\(name) \(TopText.rate(summary.classes_per_second[name] ?? 0))"
    }
    let errors = summary.classes_per_second["5xx"] ?? 0
    return [
      TopLine(name + String(repeating: " ", count: gap) + times, .title, columns: columns),
      TopLine(
        "requests  \(TopText.rate(summary.requests_per_second))   hits \(hits)   "
          + "open \(TopText.number(summary.connections_open))   "
          + "fills \(TopText.number(summary.fills_under_way))",
        columns: columns),
      TopLine(
        "traffic   out \(TopText.bytes(summary.sent_bytes_per_second))/s   "
          + "from origins \(TopText.bytes(summary.origin_bytes_per_second))/s",
        columns: columns),
      TopLine("latency   \(latency ?? "-")", columns: columns),
      TopLine(
        "status    \(classes.joined(separator: "   "))", errors > 0 ? .alarm : .plain,
        columns: columns),
      TopLine(
        "limits    refused \(TopText.rate(summary.limited_per_second))   "
          + "delayed \(TopText.rate(summary.delayed_per_second))   "
          + "waiting \(TopText.number(summary.waiting))",
        columns: columns),
      store(summary.store, columns),
    ]
  }

  private static func store(_ store: TopSummary.Store?, _ columns: Int) -> TopLine {
    guard let store else { return TopLine("store     none", columns: columns) }
    if store.writing_ended {
      return TopLine(
        "store     WRITING HAS ENDED: nothing is stored any more", .alarm, columns: columns)
    }
    let share = store.limit_bytes > 0 ? Double(store.bytes) / Double(store.limit_bytes) : 0
    let filled = Int((min(1, share) * 16).rounded())
    // Where there is room.
    let bar =
      columns < 100
      ? ""
      : "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: 16 - filled))] "
    let parts = [
      "\(TopText.number(store.objects)) objects",
      "\(bar)\(TopText.percent(share)) of \(TopText.bytes(Double(store.limit_bytes)))",
      "in \(TopText.rate(store.stored_per_second))",
      "evicted \(TopText.rate(store.evicted_per_second))",
      store.purges_pending > 0 ? "purges \(store.purges_pending)" : "",
    ]
    return TopLine(
      "store     " + parts.joined(separator: columns < 100 ? "  " : "   "), columns: columns)
  }

  // MARK: Lists

  private struct Section {
    var title: String
    var rows: [(text: String, look: TopLine.Look)]
  }

  /// The lists, cut to what fits: two lines of each go for its title and the space above.
  private static func sections(
    _ summary: TopSummary, _ room: Int, _ options: TopOptions
  ) -> [Section] {
    let first = urls(summary, options.order)
    // A small terminal shows tags in place of URLs only.
    let tags = room < 28 || options.order == .tags ? nil : urls(summary, .tags)
    let others = [servers(summary), keys(summary), tags].compactMap { $0 }
      .filter { !$0.rows.isEmpty }
    let second = urls(summary, options.order == .hits ? .misses : .hits)
    var left = room
    // Servers, keys and tags get what they need, up to a quarter each; the URLs the rest.
    var chosen: [Section] = []
    for var section in others {
      section.rows = Array(section.rows.prefix(max(1, room / 4 - 2)))
      left -= section.rows.count + 2
      chosen.append(section)
    }
    var list = first
    let isRoomy = left >= 24 && !second.rows.isEmpty
    list.rows = Array(list.rows.prefix(max(0, (isRoomy ? left / 2 : left) - 2)))
    left -= list.rows.count + 2
    chosen.insert(list, at: 0)
    if isRoomy {
      var last = second
      last.rows = Array(last.rows.prefix(max(0, left - 2)))
      chosen.append(last)
    }
    return chosen
  }

  private static func urls(_ summary: TopSummary, _ order: TopOptions.Order) -> Section {
    let title: String
    var entries: [TopLists.Entry]
    switch order {
    case .hits:
      title = row("HITS", "BYTES", "URL, BY HITS OF LATE")
      entries = summary.hits
    case .misses:
      title = row("MISSES", "BYTES", "URL, BY MISSES OF LATE")
      entries = summary.misses
    case .bytes:
      title = row("MISSES", "BYTES", "URL, BY BYTES FROM ORIGINS OF LATE")
      entries = summary.misses.sorted { $0.bytes > $1.bytes }
    case .tags:
      title = row("HITS", "BYTES", "TAG, BY HITS OF LATE")
      entries = summary.tags
    }
    if let problem = summary.problem, entries.isEmpty {
      return Section(title: title, rows: [(problem, .plain)])
    }
    return Section(
      title: title,
      rows: entries.map { entry in
        let why = entry.why.isEmpty ? "" : "  (\(entry.why))"
        return (
          row(
            TopText.number(entry.count), TopText.bytes(Double(entry.bytes)), entry.name + why),
          .plain
        )
      })
  }

  private static func row(_ count: String, _ bytes: String, _ name: String) -> String {
    TopText.right(count, 10) + TopText.right(bytes, 10) + "  " + name
  }

  private static func servers(_ summary: TopSummary) -> Section {
    func line(
      _ state: String, _ rate: String, _ failures: String, _ flight: String, _ time: String,
      _ name: String
    ) -> String {
      TopText.left(state, 10) + TopText.right(rate, 10) + TopText.right(failures, 10)
        + TopText.right(flight, 8) + TopText.right(time, 10) + "  " + name
    }
    return Section(
      title: line("STATE", "REQUESTS", "FAILURES", "FLIGHT", "MEAN", "ORIGIN AND SERVER"),
      // Those that get no requests first: they are what one looks for.
      rows: (summary.servers.filter { !isWell($0) } + summary.servers.filter { isWell($0) }).map {
        server in
        (
          line(
            server.state, TopText.rate(server.requests_per_second),
            TopText.rate(server.failures_per_second), TopText.number(server.in_flight),
            TopText.milliseconds(server.mean_latency_ms), "\(server.origin) \(server.server)"),
          isWell(server) ? .plain : .alarm
        )
      })
  }

  private static func isWell(_ server: TopSummary.Server) -> Bool {
    ["up", "files"].contains(server.state)
  }

  private static func keys(_ summary: TopSummary) -> Section {
    Section(
      title: TopText.right("WEIGHT", 10) + TopText.right("REFUSED", 10) + "  LIMIT AND KEY",
      rows: summary.keys.map { key in
        (
          TopText.right(TopText.number(key.weight), 10)
            + TopText.right(TopText.number(key.rejected), 10) + "  \(key.limit) \(key.key)",
          .plain
        )
      })
  }
}
