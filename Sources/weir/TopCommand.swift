import ArgumentParser
internal import CLinux
import EventLoop
import FoundationEssentials
import TopView

/// `weir top`.
struct TopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract: "Watch a running node: traffic, latency, URLs, tags, origins, limited keys.",
    discussion: """
      A view of the whole terminal that is renewed each second. Keys: q ends it, s shows the next list (URLs \
      most hit, most missed, with most bytes from origins; tags most hit), p pauses.

      These lists, and those of keys, need a token that may read. With --once one frame is printed, after a second \
      in which is counted.

      Exit status: 0; 1 if the node refuses; 69 if it cannot be reached, or there is no terminal.
      """)

  @OptionGroup var node: NodeArguments
  @Flag(help: "Print one frame and end.") var once = false
  @Flag(help: "With --once: print the figures as JSON.") var json = false
  @Option(help: "What is listed first: hits, misses, bytes or tags.") var by = TopOptions.Order
    .hits

  func validate() throws {
    if json && !once { throw ValidationError("--json stands beside --once") }
  }

  func run() throws {
    let client = try node.client()
    do throws(AdminClient.Failure) {
      if once { try showOnce(client) } else { try watch(client) }
    } catch {
      throw Start.refusal(error.text)
    }
  }

  private var options: TopOptions {
    var options = TopOptions()
    options.order = by
    return options
  }

  private func showOnce(_ client: AdminClient) throws(AdminClient.Failure) {
    let stream = try TopStream(client)
    let before = try stream.next()
    var now = try stream.next()
    // The first two may be of the same moment.
    while now.sample.time <= before.sample.time { now = try stream.next() }
    let lists = TopLists(client, now, order: by, count: 50)
    let summary = TopSummary(now, after: before, lists)
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      print(String(decoding: (try? encoder.encode(summary)) ?? Data(), as: UTF8.self))
      return
    }
    let (columns, rows) = Terminal.size
    let lines = TopFrame.lines(summary, columns: columns, rows: rows, options)
    print(TopFrame.text(lines), terminator: "")
  }

  private func watch(_ client: AdminClient) throws(AdminClient.Failure) {
    // What cannot be had at all is said before the terminal is taken.
    let stream = try TopStream(client)
    guard let terminal = Terminal() else {
      throw AdminClient.Failure(text: "standard input or output is no terminal: use --once")
    }
    Signals.block(TopSession.signals)
    terminal.enter()
    defer { terminal.leave() }
    TopSession(client, stream, terminal, options).run()
  }
}

extension TopOptions.Order: ExpressibleByArgument {}

/// A terminal that shows a node, until somebody has seen enough.
final class TopSession {
  /// What is waited for; all but two of them end it.
  static let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP]
  /// How long to wait before the node is asked anew, when it has gone.
  private static let pause: Int64 = 1_000_000_000

  private var client: AdminClient
  private var stream: TopStream?
  private let terminal: Terminal
  private var options: TopOptions
  private var latest: TopFigures?
  private var shown: TopSummary?
  private var retryAt: Int64 = 0
  private let clock = NodeClock()

  init(
    _ client: AdminClient, _ stream: TopStream, _ terminal: Terminal, _ options: TopOptions
  ) {
    self.client = client
    // A node that does not answer must not keep the keys waiting for long.
    self.client.patience = 2_000
    self.stream = stream
    self.terminal = terminal
    self.options = options
  }

  /// Runs until it is to end.
  func run() {
    takeFigures()
    while true {
      let sources = [0] + [stream?.number].compactMap { $0 }
      switch Signals.wait(for: Self.signals, or: sources, nanoseconds: Self.pause) {
      case nil: break
      case SIGWINCH?: draw()
      case SIGTSTP?: suspend()
      default: return
      }
      guard let keys = terminal.keys() else { return }
      for key in keys where !press(key) { return }
      if stream == nil && clock.monotonic() >= retryAt { connect() }
      takeFigures()
    }
  }

  /// Does what a key is for; false if that is to end.
  private func press(_ key: UInt8) -> Bool {
    switch key {
    case UInt8(ascii: "q"), UInt8(ascii: "Q"), 0x03: return false
    case UInt8(ascii: "s"): options.turnOrder()
    case UInt8(ascii: "p"), UInt8(ascii: " "): options.isPaused.toggle()
    case 0x1A: suspend()
    default: return true
    }
    draw()
    return true
  }

  private func suspend() {
    terminal.suspend()
    draw()
  }

  private func connect() {
    do throws(AdminClient.Failure) {
      stream = try TopStream(client)
      options.notice = nil
    } catch {
      gone(error)
    }
  }

  private func gone(_ failure: AdminClient.Failure) {
    stream = nil
    retryAt = clock.monotonic() + Self.pause
    options.notice = failure.text + "; asking again"
    draw()
  }

  private func takeFigures() {
    do throws(AdminClient.Failure) {
      guard let figures = try stream?.take() else { return }
      let before = latest ?? figures
      latest = figures
      if options.isPaused { return }
      let lists = TopLists(client, figures, order: options.order, count: 100)
      shown = TopSummary(figures, after: before, lists)
      draw()
    } catch {
      gone(error)
    }
  }

  private func draw() {
    guard let shown else { return }
    let (columns, rows) = Terminal.size
    let lines = TopFrame.lines(shown, columns: columns, rows: rows, options)
    _ = Terminal.write(TopFrame.painted(lines))
  }
}
