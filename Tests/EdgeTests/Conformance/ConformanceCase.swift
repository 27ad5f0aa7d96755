// Conformance of the whole node, end to end, to the rules of HTTP caching, row by row beside the
// public suite cache-tests (https://cache-tests.fyi, http-tests/cache-tests): a row has the id that
// the public suite gives to the same situation, so that our results can be laid beside those of
// other caches. The facts are the suite's; the rows, the runner and the reasons are ours.
//
// A row is a list of steps, played on one node with one worker, one store, and a clock that only
// the steps move. A step is one request of a client, what the origin would answer if it were asked,
// and where the answer must come from:
//
//     ConformanceCase(
//       "cc-resp-no-cache-revalidate",
//       CacheStep(.origin(.uriMiss), reply: ["Cache-Control: no-cache", "ETag: \"abcd\""]),
//       CacheStep(.validated, asks: ["If-None-Match: \"abcd\""]))
//
// What the client got does not tell where it came from, so each step checks both ends: the status,
// fields, content and Cache-Status that the client got, how often the origin was asked during the
// step, and with which fields. Content says which step's it is. A row of which nothing is stored
// thus cannot pass for another reason than the one it names: `fwd` of Cache-Status (RFC 9211 §2.2)
// must be the expected one.
//
// The suite knows three kinds of tests. Required ones are rows as they stand there. Those about
// what is optimal are, too; where Weir does otherwise on purpose, the row expects what Weir does
// and `departs` says why. Those that only look ("check") are pinned to what Weir does, with the
// section that permits it. No row is switched off.

import EdgeTesting
import FoundationEssentials
import Testing

/// One situation of the public suite.
struct ConformanceCase: Sendable, CustomTestStringConvertible {
  /// The public suite's id.
  let id: String
  /// Why Weir does not do what the public suite calls optimal.
  let departs: String?
  /// What stands in the route, if something must.
  let route: String
  /// What happens, in order.
  let steps: [CacheStep]

  var testDescription: String { id }

  init(
    _ id: String, route: String = "", departs: String? = nil,
    _ steps: CacheStep...
  ) {
    self.init(id, route: route, departs: departs, steps: steps)
  }

  init(
    _ id: String, route: String = "", departs: String? = nil,
    steps: [CacheStep]
  ) {
    self.id = id
    self.route = route
    self.departs = departs
    self.steps = steps
  }

  /// A response that is reused `after` some seconds.
  static func reused(
    _ id: String, _ reply: [String], status: Int = 200, after: Double = 3,
    request: [String] = [], second: [String] = [], has: [String] = [], lacks: [String] = [],
    route: String = "", departs: String? = nil
  ) -> ConformanceCase {
    ConformanceCase(
      id, route: route, departs: departs,
      CacheStep(.origin(.uriMiss), request, reply: reply, status: status),
      CacheStep(.store, second, after: after, has: has, lacks: lacks))
  }

  /// A response that is not reused, for a reason: `uriMiss` if it is not stored, `stale` if it is.
  static func notReused(
    _ id: String, _ why: Forwarding, _ reply: [String], status: Int = 200, after: Double = 3,
    request: [String] = [], second: [String] = [], asks: [String] = [],
    asksWithout: [String] = [], departs: String? = nil
  ) -> ConformanceCase {
    ConformanceCase(
      id, departs: departs,
      CacheStep(.origin(.uriMiss), request, reply: reply, status: status),
      CacheStep(
        .origin(why), second, after: after, status: status, asks: asks,
        asksWithout: asksWithout))
  }
}

/// Why a request went to the origin: `fwd` of Cache-Status.
enum Forwarding: String, Sendable {
  /// Nothing is stored for the URI.
  case uriMiss = "uri-miss"
  /// Nothing is stored for the request's fields.
  case varyMiss = "vary-miss"
  /// What is stored must be validated.
  case stale
  /// What is stored is fresh; the request wants another.
  case request
  /// The method goes through.
  case method
  /// What is stored is not all that is wanted.
  case partial
}

/// Where an answer must come from.
enum AnswerSource: Sendable, Equatable {
  /// From the origin, for that reason.
  case origin(Forwarding)
  /// From the store, without asking.
  case store
  /// From the store; the origin is asked behind the client's back.
  case storeAndBehind
  /// From the store, after the origin said 304 to the conditions in the step's `asks`.
  case validated
  /// From the store, after the origin failed.
  case storeOnError
  /// From the node, with that status, after the origin failed.
  case failure(Int)
  /// From the node, with that status, without asking.
  case node(Int)
}

/// One request, what the origin answers if it is asked, and what must come of it.
struct CacheStep: Sendable {
  /// Where the answer must come from.
  var source: AnswerSource
  /// The method and the path.
  var request = "GET /a"
  /// The request's fields.
  var fields: [String]
  /// The request's content.
  var content: String?
  /// Seconds that pass before the request.
  var after: Double

  /// The fields of the origin's answer.
  var reply: [String]
  /// Its status.
  var status: Int
  /// Its content; nil: one that names the step.
  var body: String?
  /// What the origin writes before it.
  var interim: String
  /// What the origin writes instead, byte for byte.
  var raw: String?
  /// Seconds that the origin takes.
  var takes: Double
  /// The origin closes the connection instead of answering.
  var closes: Bool
  /// The origin answers a condition with 304, though that is of another response.
  var says304: Bool

  /// The status that the client gets; nil: the one of the answer's source.
  var gets: Int?
  /// The content that the client gets; nil: the one of the answer's source.
  var text: String?
  /// Fields that it gets, with their whole value.
  var has: [String]
  /// Fields that it does not get.
  var lacks: [String]
  /// The 1xx responses that it gets.
  var interimGot: [Int]
  /// Fields of the first of them.
  var interimHas: [String]
  /// Fields that the origin is asked with.
  var asks: [String]
  /// Fields that it is asked without.
  var asksWithout: [String]
  /// How often it is asked.
  var times: Int

  init(
    _ source: AnswerSource, _ fields: [String] = [], request: String = "GET /a",
    content: String? = nil, after: Double = 0, reply: [String] = [], status: Int = 200,
    body: String? = nil, interim: String = "", raw: String? = nil, takes: Double = 0,
    closes: Bool = false,
    says304: Bool = false, gets: Int? = nil, text: String? = nil, has: [String] = [],
    lacks: [String] = [], interimGot: [Int] = [], interimHas: [String] = [],
    asks: [String] = [],
    asksWithout: [String] = [], times: Int = 1
  ) {
    self.source = source
    self.request = request
    self.fields = fields
    self.content = content
    self.after = after
    self.reply = reply
    self.status = status
    self.body = body
    self.interim = interim
    self.raw = raw
    self.takes = takes
    self.closes = closes
    self.says304 = says304
    self.gets = gets
    self.text = text
    self.has = has
    self.lacks = lacks
    self.interimGot = interimGot
    self.interimHas = interimHas
    self.asks = asks
    self.asksWithout = asksWithout
    self.times = times
  }

  var method: String { String(request.prefix { $0 != " " }) }
  var target: String { String(request.drop { $0 != " " }.dropFirst()) }
}

extension String {
  /// A date so many seconds from when the node's clock begins.
  static func at(_ seconds: Int) -> String {
    let date = Date(timeIntervalSince1970: Double(TestNode.start) / 1000 + Double(seconds))
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    let parts = calendar.dateComponents(
      [.weekday, .day, .month, .year, .hour, .minute, .second], from: date)
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = [
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    let two = { (number: Int?) in String("0\(number ?? 0)".suffix(2)) }
    let time = [parts.hour, parts.minute, parts.second].map(two).joined(separator: ":")
    let (day, month) = (days[(parts.weekday ?? 1) - 1], months[(parts.month ?? 1) - 1])
    return "\(day), \(two(parts.day)) \(month) \(parts.year ?? 0) \(time) GMT"
  }
  /// `Date`, so many seconds from when the node's clock begins.
  static func date(_ seconds: Int) -> String { "Date: \(at(seconds))" }
  /// `Expires`, so many seconds from when the node's clock begins.
  static func expires(_ seconds: Int) -> String { "Expires: \(at(seconds))" }
  /// `Last-Modified`, so many seconds from when the node's clock begins.
  static func lastModified(_ seconds: Int) -> String { "Last-Modified: \(at(seconds))" }
}

extension [String] {
  /// What many rows of the suite begin with: fresh for a day, with a validator.
  static let fresh: [String] = [
    .expires(100_000), "Cache-Control: max-age=100000", .lastModified(0), .date(0),
  ]
  /// Stale from the beginning, with a validator.
  static let stale: [String] = [.expires(-5000), .lastModified(-100_000), .date(0)]
  /// Stale after two seconds, without a validator.
  static let becomesStale = ["Cache-Control: max-age=2", "Template-A: 1"]
}
