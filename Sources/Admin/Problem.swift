// Every refusal is a problem (RFC 9457): `type` is about:blank and `title` the status's phrase, so the
// status says what a client can do about it; `code` tells cases of one status apart for programs, and
// `detail` says it to people. The codes are a table, from which docs/admin.md's comes.

internal import HTTP1
internal import HTTPMessage

/// Why a request is refused.
struct Problem: Error {
  /// The case, by a name that stays.
  enum Code: String, CaseIterable {
    case malformedRequest = "malformed_request"
    case requestTimeout = "request_timeout"
    case wrongHost = "wrong_host"
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    case unauthorized = "unauthorized"
    case noToken = "no_token"
    case forbidden
    case foreignSite = "foreign_site"
    case unexpectedQuery = "unexpected_query"
    case lengthRequired = "length_required"
    case contentTooLarge = "content_too_large"
    case notJSON = "not_json"
    case invalidJSON = "invalid_json"
    case invalidPurge = "invalid_purge"
    case invalidOrder = "invalid_order"
    case noServer = "no_server"
    case noStore = "no_store"
    case invalidKey = "invalid_key"
    case keyReused = "key_reused"
    case tooManyPatterns = "too_many_patterns"
    case purgeFailed = "purge_failed"
    case unknownPurge = "unknown_purge"
    case invalidWarm = "invalid_warm"
    case unknownWarming = "unknown_warming"
    case tooMuchToWarm = "too_much_to_warm"
    case noListener = "no_listener"
    case unknownLimit = "unknown_limit"
    case unknownKey = "unknown_key"
    case invalidLimitChange = "invalid_limit_change"
    case limitNotKept = "limit_not_kept"
    case invalidQuery = "invalid_query"
    case noLog = "no_log"
    case tooManyStreams = "too_many_streams"
    case configurationRefused = "configuration_refused"
    case noConfigurationFile = "no_configuration_file"
    case noSupervisor = "no_supervisor"
    case noFleet = "no_fleet"
    case fleetFull = "fleet_full"

    /// The status code of the answer; malformed requests have others too.
    var status: UInt16 {
      switch self {
      case .malformedRequest, .unexpectedQuery, .invalidJSON, .invalidPurge, .invalidLimitChange,
        .invalidQuery, .invalidOrder, .invalidKey, .invalidWarm:
        400
      case .unauthorized: 401
      case .noToken, .forbidden, .foreignSite: 403
      case .notFound, .unknownLimit, .unknownKey, .noServer, .unknownPurge, .unknownWarming,
        .noFleet:
        404
      case .methodNotAllowed: 405
      case .requestTimeout: 408
      case .lengthRequired: 411
      case .contentTooLarge: 413
      case .notJSON: 415
      case .wrongHost: 421
      case .keyReused, .configurationRefused: 422
      case .tooManyPatterns, .tooMuchToWarm: 429
      case .noStore, .purgeFailed, .limitNotKept, .noListener, .noConfigurationFile, .noSupervisor,
        .noLog, .tooManyStreams, .fleetFull:
        503
      }
    }

    /// What it means, for the documentation.
    var text: String {
      switch self {
      case .malformedRequest:
        "Not valid HTTP/1.1, or over a limit (then 414, 417, 431, 501 or 505). The connection ends."
      case .requestTimeout: "The head or the content took longer than 10 s. The connection ends."
      case .wrongHost:
        "On loopback, `Host` must be `localhost` or a loopback address: see below."
      case .notFound: "No such path."
      case .methodNotAllowed: "The path has other methods: see `Allow`."
      case .unauthorized: "No bearer token, or a wrong one: see `WWW-Authenticate`."
      case .noToken: "The configuration has no token, so nothing can be changed."
      case .unexpectedQuery: "A route that changes something takes no query."
      case .lengthRequired: "The route needs content, with `Content-Length` or in chunks."
      case .contentTooLarge: "More than 1 MiB of content."
      case .notJSON: "`Content-Type` must be `application/json`."
      case .invalidJSON: "The content is not JSON (RFC 8259); `detail` has line and column."
      case .invalidPurge: "JSON, but not an order to purge; `detail` says why."
      case .invalidOrder: "JSON, but not an order for a server, or for a switch; `detail` says why."
      case .noServer: "No origin, or no server of it, has that name."
      case .noStore: "The node runs without a store: nothing is cached."
      case .forbidden: "The token may not do this: see `WWW-Authenticate`."
      case .foreignSite:
        "What is named belongs to another site than the token, or the order, is for."
      case .invalidKey: "`Idempotency-Key` is given twice, or is not 1 to 128 bytes."
      case .keyReused: "`Idempotency-Key` was given with another order before."
      case .tooManyPatterns:
        "256 purges by prefix, wildcard or condition are pending: see `Retry-After`."
      case .unknownPurge: "No purge of the last 1,024 has this id."
      case .invalidWarm: "JSON, but not an order to warm; `detail` says why."
      case .unknownWarming: "No order to warm has this id, or it is too long ago."
      case .tooMuchToWarm:
        "50,000 URLs wait to be fetched already, or 16 MiB of them to be taken by the fleet."
      case .noListener: "The node has no plain listener that it could ask itself by."
      case .purgeFailed:
        "The purge is in force, but could not be written: it may be lost when the node ends."
      case .unknownLimit: "The configuration has no limit of this name."
      case .unknownKey: "The limit remembers nothing of this key."
      case .invalidLimitChange:
        "JSON, but not a change that this limit can have; `detail` says why."
      case .limitNotKept: "The change is in force, but could not be written: a restart forgets it."
      case .noLog: "The node runs without an access log: nothing can be recorded."
      case .tooManyStreams: "16 streams of events are open already."
      case .invalidQuery: "The query is not one that the route takes; `detail` says why."
      case .configurationRefused:
        "Nothing has changed; `detail` says why, and `diagnostics` what is wrong with the file."
      case .noConfigurationFile: "The node was started without a configuration file."
      case .noFleet: "The node works alone: its configuration has no `fleet`."
      case .fleetFull:
        "65,536 purges wait for the fleet's engine: nothing is purged, not even here."
      case .noSupervisor: "The node runs without a supervisor, which an upgrade needs."
      }
    }
  }

  let code: Code
  let detail: String
  let status: UInt16
  /// Further fields of the answer.
  var fields: [(name: String, value: String)] = []
  /// Further members of its content.
  var members: [(name: String, value: JSONText)] = []

  init(_ code: Code, _ detail: String, _ status: UInt16? = nil) {
    self.code = code
    self.detail = detail
    self.status = status ?? code.status
  }

  /// What is wrong with a request's head.
  init(_ defect: RequestDefect) {
    self.init(.malformedRequest, "Not a request: \(defect.text).", defect.status)
  }

  /// More content than is read.
  static var contentTooLarge: Problem {
    Problem(
      .contentTooLarge, "The content may have at most \(ContentReader.maxContent) bytes.")
  }

  /// The answer.
  var response: AdminResponse {
    let own: [(name: String, value: JSONText)] = [
      ("type", .string("about:blank")),
      ("title", .string("\(StatusCode.reason(status))")),
      ("status", .number(UInt64(status))),
      ("code", .string(code.rawValue)),
      ("detail", .string(detail)),
    ]
    let text = JSONText.object(own + members)
    return AdminResponse(
      status: status, contentType: "application/problem+json", fields: fields,
      content: Array(text.text.utf8))
  }
}
