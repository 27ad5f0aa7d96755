// The options of `weir replay`, each group with what it makes of them.

import ArgumentParser
import CLinux
import EventLoop
import FoundationEssentials
import Replay
import Supervision
import TLS
import TrafficFormats

/// Where requests go.
struct ReplayTarget: ParsableArguments {
  @Option(help: ArgumentHelp("The server: http or https, host and port.", valueName: "url"))
  var to: String?

  @Option(
    name: .customLong("format"),
    help: ArgumentHelp(
      """
      What the recordings are, if it is not found out: json, combined, har, w3c, csv, csv:NAME,NAME, \
      oracle, urls, or log:FORMAT with a format of nginx's or Apache's.
      """,
      valueName: "format"))
  var formatName: String?

  @Flag(help: "Speak HTTP/2.")
  var http2 = false

  @Flag(help: "Take any certificate.")
  var insecure = false

  @Option(
    help: ArgumentHelp("Certificates of authorities to trust.", valueName: "file"),
    completion: .file())
  var ca: String?

  /// The format; nil: to be found out.
  func format() throws -> TrafficFormat? {
    switch formatName {
    case nil: return nil
    case "json": return .json
    case "combined", "common", "varnishncsa", "ncsa": return .log(.combined)
    case "har": return .har
    case "w3c", "cloudfront": return .w3c
    case "csv": return .columns(nil)
    case "oracle", "oracleGeneral": return .oracleGeneral
    case "urls": return .urls
    case let name?:
      if name.hasPrefix("csv:") {
        let names = name.dropFirst(4).split(separator: ",").map { LogValue(named: String($0)) }
        guard names.contains(where: { [.key, .target, .path].contains($0) }) else {
          throw ValidationError("no column of --format is a key or a url")
        }
        return .columns(names)
      }
      guard name.hasPrefix("log:") else { throw ValidationError("unknown format \(name)") }
      do throws(LogFormat.Problem) {
        return .log(try LogFormat(String(name.dropFirst(4))))
      } catch {
        throw ValidationError(error.description)
      }
    }
  }

  /// A plan for the server, and all of its addresses.
  func plan() throws -> (plan: ReplayPlan, addresses: [SocketAddress]) {
    guard let url = ServerURL(to ?? "") else {
      throw ValidationError("\(to ?? "") is no server's URL, such as http://127.0.0.1:8080")
    }
    let addresses = Socket.resolve(host: url.host, port: url.port)
    guard let address = addresses.first else {
      throw Start.refusal("there is no address for \(url.host)")
    }
    var plan = ReplayPlan(address: address, host: url.authority, serverName: url.host)
    plan.format = try format()
    plan.usesHTTP2 = http2
    if url.isSecure { plan.tls = try tls() }
    return (plan, addresses)
  }

  /// The address that takes connections.
  func reach(_ addresses: [SocketAddress]) throws -> SocketAddress {
    do throws(Errno) {
      return try ReplayPlan.reachable(of: addresses)
    } catch {
      let all = addresses.map { "\($0)" }.joined(separator: ", ")
      throw Start.refusal("cannot connect to \(all): \(error)")
    }
  }

  private func tls() throws -> ClientTLSContext {
    var configuration = ClientTLSConfiguration()
    configuration.verifies = !insecure
    configuration.authorities = ca
    configuration.applicationProtocols = http2 ? [.http2] : [.http1]
    do throws(TLSLoadError) {
      return try ClientTLSContext(configuration, now: NodeClock().now().wall / 1_000)
    } catch {
      throw Start.refusal("\(error)")
    }
  }
}

/// A server's URL without a path.
struct ServerURL {
  let isSecure: Bool
  let host: String
  let port: UInt16
  /// As a `Host` field has it.
  let authority: String

  init?(_ text: String) {
    let scheme = text.hasPrefix("https://") ? "https://" : "http://"
    guard text.hasPrefix(scheme) else { return nil }
    isSecure = scheme == "https://"
    var rest = text.dropFirst(scheme.count)
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    guard !rest.isEmpty, !rest.contains("/"), !rest.contains("@") else { return nil }
    authority = String(rest)
    var number = isSecure ? UInt16(443) : 80
    let bracket = rest.lastIndex(of: "]")
    if let colon = rest.lastIndex(of: ":"), bracket.map({ colon > $0 }) ?? true {
      guard let given = UInt16(rest[rest.index(after: colon)...]), given > 0 else { return nil }
      number = given
      rest = rest[..<colon]
    }
    port = number
    if rest.hasPrefix("["), rest.hasSuffix("]") { rest = rest.dropFirst().dropLast() }
    guard !rest.isEmpty else { return nil }
    host = String(rest)
  }
}

/// When requests are sent, and on what connections.
struct ReplayPacing: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "recorded, 2x, 500/s, ramp:100-1000/60s, steps:100+100/10s or max.", valueName: "pace"))
  var pace = "recorded"

  @Option(
    help: ArgumentHelp(
      "Closed loop: so many requests at once, each client waiting for its answer.",
      valueName: "number"))
  var clients: Int?

  @Option(
    help: ArgumentHelp(
      "keep, client (each its own), new, or the share on new ones, such as 0.1.", valueName: "use"))
  var connections = "keep"

  @Option(help: ArgumentHelp("The most connections at once.", valueName: "number"))
  var maxConnections = 4_096

  @Option(help: ArgumentHelp("Requests at once on a connection of HTTP/2.", valueName: "number"))
  var streams = 32

  @Option(help: ArgumentHelp("Threads that send.", valueName: "number"))
  var threads = 1

  @Option(help: ArgumentHelp("How long to send.", valueName: "seconds"))
  var duration: Double?

  @Option(help: ArgumentHelp("How long results do not count at first.", valueName: "seconds"))
  var warmUp = 0.0

  @Option(help: ArgumentHelp("How many requests to send.", valueName: "number"))
  var requests: Int?

  @Option(
    help: ArgumentHelp("How often to play it; 0: until --duration ends.", valueName: "number"))
  var loops = 1

  @Option(help: ArgumentHelp("How long to wait for an answer.", valueName: "seconds"))
  var timeout = 10.0

  @Option(
    help: ArgumentHelp("The 99th percentile that a step may have.", valueName: "milliseconds"))
  var knee = 100.0

  /// Says what is wrong with them.
  func check() throws {
    guard Pace(pace) != nil else { throw ValidationError("\(pace) is no pace") }
    _ = try use()
    let numbers = [
      ("threads", Double(threads), 256.0), ("max-connections", Double(maxConnections), 1e6),
      ("streams", Double(streams), 1_000),
      ("timeout", timeout, 86_400),
      ("clients", Double(clients ?? 1), 1e6), ("requests", Double(requests ?? 1), 1e15),
      ("knee", knee, 1e6), ("duration", duration ?? 1, 1e8),
    ]
    for (name, value, most) in numbers where !(value > 0 && value <= most) {
      throw ValidationError("--\(name) must be above 0 and at most \(Int(most))")
    }
    guard loops >= 0, warmUp >= 0, warmUp < 1e8 else {
      throw ValidationError("--loops and --warm-up must not be negative")
    }
    if loops == 0 && duration == nil && requests == nil {
      throw ValidationError("--loops 0 needs a --duration, or a number of --requests")
    }
  }

  private func use() throws -> ConnectionUse {
    switch connections {
    case "keep": return .shared
    case "client": return .perClient
    case "new": return .fresh(share: 1)
    default:
      guard let share = Double(connections), share > 0, share <= 1 else {
        throw ValidationError("--connections is none of keep, client, new and a share")
      }
      return .fresh(share: share)
    }
  }

  func apply(to plan: inout ReplayPlan) throws {
    plan.pace = Pace(pace) ?? .recorded(factor: 1)
    plan.clients = clients
    plan.connections = try use()
    plan.maxConnections = maxConnections
    plan.streams = streams
    plan.threads = threads
    plan.duration = duration.map { Int64($0 * 1e9) }
    plan.warmUp = Int64(warmUp * 1e9)
    plan.requestLimit = requests
    plan.loops = loops == 0 ? nil : loops
    plan.timeout = Int64(timeout * 1e9)
    plan.kneeLatency = Int64(knee * 1e6)
  }
}

/// What of a recording is sent, and what is changed.
struct ReplayChanges: ParsableArguments {
  @Option(help: ArgumentHelp("The host of all requests.", valueName: "host"))
  var host: String?

  @Option(
    help: ArgumentHelp("Only these methods, separated by commas.", valueName: "methods"))
  var methods: String?

  @Option(
    name: .customLong("fields"),
    help: ArgumentHelp(
      "Only these recorded fields, separated by commas; none: none.", valueName: "names"))
  var kept: String?

  @Option(
    name: [.customShort("H"), .customLong("header")],
    help: ArgumentHelp("A field that every request has besides.", valueName: "name: value"))
  var added: [String] = []

  @Option(
    help: ArgumentHelp("How clients are named: none, forwarded, proxy.", valueName: "how"))
  var clientAddress = ClientAddressing.none

  @Option(
    help: ArgumentHelp(
      "Change targets; $1 is the first group. May be given again.",
      valueName: "|regex|replacement|"))
  var rewrite: [String] = []

  @Option(help: ArgumentHelp("The share of clients that is replayed.", valueName: "share"))
  var sample = 1.0

  @Flag(help: "Send requests without content.")
  var noBodies = false

  @Flag(help: "Ask for other paths in each loop.")
  var shiftKeys = false

  @Option(
    help: ArgumentHelp(
      "Give each user a token, signed with this key (PEM, or a secret).", valueName: "file"),
    completion: .file())
  var tokenKey: String?

  @Option(help: ArgumentHelp("The tokens' kid.", valueName: "id"))
  var tokenID: String?

  @Option(
    help: ArgumentHelp(
      "Further claims, as members of a JSON object: '\"aud\": \"shop\"'.", valueName: "members"))
  var tokenClaims = ""

  /// Says what is wrong with them.
  func check() throws {
    guard sample > 0, sample <= 1 else { throw ValidationError("--sample must be in 0 to 1") }
    for field in added {
      guard let colon = field.firstIndex(of: ":"), colon > field.startIndex,
        !field.contains(where: \.isNewline)
      else { throw ValidationError("\(field) is not name: value") }
    }
    for text in rewrite {
      do throws(Rewrite.Problem) {
        _ = try Rewrite(text)
      } catch {
        throw ValidationError("--rewrite: \(error)")
      }
    }
  }

  func apply(to plan: inout ReplayPlan) throws {
    var changes = Faithfulness()
    changes.host = host
    if let methods { changes.methods = Set(methods.split(separator: ",").map(String.init)) }
    if let kept {
      changes.fields =
        kept == "none" ? [] : Set(kept.lowercased().split(separator: ",").map(String.init))
    }
    changes.addedFields = added.compactMap { field in
      guard let colon = field.firstIndex(of: ":") else { return nil }
      let value = field[field.index(after: colon)...].drop { $0 == " " }
      return (String(field[..<colon]), String(value))
    }
    changes.addressing = clientAddress
    changes.rewrites = try rewrite.map { try Rewrite($0) }
    changes.sample = sample
    changes.sendsBodies = !noBodies
    changes.shiftsKeys = shiftKeys
    changes.tokens = try mint()
    plan.faithfulness = changes
  }

  private func mint() throws -> TokenMint? {
    guard let tokenKey else { return nil }
    guard let key = FileManager.default.contents(atPath: tokenKey) else {
      throw Start.refusal("\(tokenKey): \(Errno.current)")
    }
    do throws(TokenMint.Problem) {
      return try TokenMint(
        key: Array(key), keyID: tokenID, claims: tokenClaims, lifetime: 86_400)
    } catch {
      throw Start.refusal("\(tokenKey): \(error)")
    }
  }
}

extension ClientAddressing: ExpressibleByArgument {}

/// What is done with the results.
struct ReplayResults: ParsableArguments {
  @Flag(help: "Print the report as JSON.")
  var json = false

  @Option(help: ArgumentHelp("Write the report as JSON too.", valueName: "file"))
  var report: String?

  @Option(help: ArgumentHelp("Write the report as a page with charts.", valueName: "file"))
  var html: String?

  @Option(
    help: ArgumentHelp("Conditions that the results must meet.", valueName: "file"),
    completion: .file())
  var budget: String?

  @Option(help: ArgumentHelp("What the run is called.", valueName: "name"))
  var name = "replay"

  @Flag(help: "Compare two reports that --report has written.")
  var compare = false

  @Flag(help: "Show no progress.")
  var quiet = false

  /// The budget; nil if there is none.
  func readBudget() throws -> Budget? {
    guard let budget else { return nil }
    guard let data = FileManager.default.contents(atPath: budget) else {
      throw Start.refusal("\(budget): \(Errno.current)")
    }
    do throws(Budget.Problem) {
      return try Budget(String(decoding: data, as: UTF8.self))
    } catch {
      StandardError.say("\(budget): \(error)")
      throw ExitCode(ExitStatus.usage)
    }
  }

  /// Prints and writes a report; throws the exit status if the budget does not hold.
  func show(_ result: ReplayReport, _ budget: Budget?) throws {
    print(json ? result.json() : result.text(), terminator: "")
    if let report { try write(result.json(), to: report) }
    if let html { try write(result.html(), to: html) }
    guard let budget else { return }
    let verdicts = budget.judge(result)
    for verdict in verdicts where !verdict.holds {
      let value = verdict.value.map { "it is \($0)" } ?? "there is no such figure"
      StandardError.say("budget: \(verdict.condition.text) does not hold: \(value)")
    }
    if verdicts.contains(where: { !$0.holds }) { throw ExitCode(1) }
  }

  /// Prints and writes a comparison of two reports.
  func compare(_ first: String, _ second: String) throws {
    let comparison = ReportComparison(try read(first), try read(second))
    print(comparison.text(), terminator: "")
    if let html { try write(comparison.html(), to: html) }
  }

  private func read(_ path: String) throws -> ReplayReport {
    guard let data = FileManager.default.contents(atPath: path),
      let report = ReplayReport(json: Array(data))
    else {
      StandardError.say("\(path): no report that --report has written")
      throw ExitCode(66)
    }
    return report
  }

  private func write(_ text: String, to path: String) throws {
    guard FileManager.default.createFile(atPath: path, contents: Data(text.utf8)) else {
      throw Start.refusal("\(path): \(Errno.current)")
    }
  }
}

/// The origin that stands in for the recording's.
struct ReplayStandIn: ParsableArguments {
  @Flag(help: "Answer as the recording's origin would have.")
  var origin = false

  @Option(help: ArgumentHelp("Where.", valueName: "address:port"))
  var listen = "127.0.0.1:8081"

  @Option(
    help: ArgumentHelp(
      "The freshness lifetime of what has none in the recording.", valueName: "seconds"))
  var lifetime = 3_600

  /// Answers until SIGINT or SIGTERM.
  func run(_ recordings: [String], format: TrafficFormat?) throws {
    // A recording may have no end: signals end its reading, whoever started this.
    Signals.unblock(Signals.operators)
    Machine.raiseDescriptorLimit()
    guard let colon = listen.lastIndex(of: ":"),
      let port = UInt16(listen[listen.index(after: colon)...]),
      let address = SocketAddress(
        host: listen[..<colon].filter { $0 != "[" && $0 != "]" }, port: port)
    else { throw ValidationError("\(listen) is no address with a port") }
    var table = OriginTable()
    for path in recordings {
      do throws(Errno) {
        let bad = try table.read(path, format: format)
        if bad > 0 { StandardError.say("\(path): \(bad) bad lines") }
      } catch {
        StandardError.say("\(path): \(error)")
        throw ExitCode(66)
      }
    }
    Signals.prepare()
    let running: ReplayOrigin
    do throws(Errno) {
      running = try ReplayOrigin(
        table, on: address, threads: 1, lifetime: Int32(clamping: lifetime))
    } catch {
      throw Start.refusal("cannot listen on \(listen): \(error)")
    }
    StandardError.say("origin of \(table.count) objects listening on \(running.address)")
    while Signals.wait(for: [SIGINT, SIGTERM]) == nil {}
    let figures = running.figures
    running.stop()
    print(
      "{\"requests\": \(figures.requests), \"bytes\": \(figures.bytes), \"unknown\": \(figures.unknown)}"
    )
  }
}
