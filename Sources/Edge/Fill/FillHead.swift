internal import Bytes
internal import ObjectStore

/// Why an origin's answer could not be had, or could not be had whole.
package enum OriginFailure: UInt8, Sendable {
  /// No server of the pool has an address.
  case unresolved
  /// The connection was refused or could not be made.
  case connectFailed
  /// The connection was not made in time.
  case connectTimeout
  /// The answer's head did not come in time.
  case firstByteTimeout
  /// The answer's content stopped coming.
  case contentTimeout
  /// The connection ended before the answer did.
  case closedEarly
  /// The answer is not HTTP.
  case malformed
  /// The answer's head is over the limit.
  case headTooLarge
  /// The request's content could not be sent whole, or the client went away.
  case requestAborted
  /// Too many requests already wait for the same answer.
  case tooManyWaiters
  /// The origin's answer cannot be put together in slices: the request goes to the origin as it is.
  case notSliceable
  /// The origin does not have the slice that was asked for.
  case unsatisfiable
  /// The origin has another representation than that of which parts are stored.
  case changed
  /// An operator has taken every server out.
  case noServer
  /// The origin has failed so often that it is left alone for a while.
  case breakerOpen
  /// Whoever was to ask the origin may not, by a limit: others ask for themselves.
  case notAsked
  /// The origin has as many requests as it may, and nobody, or nobody else, may wait.
  case tooBusy
  /// It waited too long for a place at the origin.
  case queueTimeout
  /// TLS with the origin did not come about.
  case tlsFailed
  /// The origin's certificate is not valid, or not the origin's.
  case tlsCertificate
  /// The origin ended TLS, and said so.
  case tlsAlert

  /// The status a client gets if nothing has been sent to it yet.
  var status: UInt16 {
    switch self {
    case .connectTimeout, .firstByteTimeout, .contentTimeout: 504
    case .unresolved, .tooManyWaiters, .noServer, .breakerOpen, .tooBusy, .queueTimeout,
      .notAsked:
      503
    default: 502
    }
  }

  /// A line for the client.
  var text: StaticString {
    switch self {
    case .unresolved: "The origin has no address."
    case .connectFailed: "The origin cannot be reached."
    case .connectTimeout: "The origin did not accept the connection in time."
    case .firstByteTimeout: "The origin did not answer in time."
    case .contentTimeout: "The origin stopped answering."
    case .closedEarly: "The origin closed the connection before it answered."
    case .malformed: "The origin's answer is malformed."
    case .headTooLarge: "The origin's answer has too large a head."
    case .requestAborted: "The request was aborted."
    case .tooManyWaiters: "Too many requests wait for the same answer."
    case .notSliceable, .unsatisfiable: "The origin's answer is not a part."
    case .changed: "The origin's content has changed."
    case .noServer: "The origin is out of service."
    case .breakerOpen: "The origin fails, and is left alone for a moment."
    case .tooBusy, .notAsked: "The origin is busy."
    case .queueTimeout: "The origin was busy for too long."
    case .tlsFailed: "TLS with the origin failed."
    case .tlsCertificate: "The origin's certificate is not valid."
    case .tlsAlert: "The origin refused TLS."
    }
  }

  /// The error type of RFC 9209 §2.3.
  var proxyStatus: StaticString {
    switch self {
    case .unresolved: "dns_error"
    case .connectFailed: "connection_refused"
    case .connectTimeout: "connection_timeout"
    case .firstByteTimeout: "http_response_timeout"
    case .contentTimeout: "connection_read_timeout"
    case .closedEarly: "http_response_incomplete"
    case .malformed: "http_protocol_error"
    case .headTooLarge: "http_response_header_section_size"
    case .requestAborted: "connection_terminated"
    case .tooManyWaiters: "proxy_internal_response"
    case .notSliceable, .unsatisfiable, .changed: "http_protocol_error"
    case .noServer, .breakerOpen: "destination_unavailable"
    case .tooBusy, .queueTimeout, .notAsked: "connection_limit_reached"
    case .tlsFailed: "tls_protocol_error"
    case .tlsCertificate: "tls_certificate_error"
    case .tlsAlert: "tls_alert_received"
    }
  }
}

/// The head of a fill's response, in the form that is stored and sent. Made once, never changed.
final class FillHead: Sendable {
  /// The status code.
  let status: UInt16
  /// Lower-case field lines, without those that differ by client.
  let lines: [UInt8]
  /// The lines for the client whose request fetched the response, where it has fields that are not for
  /// others (`private="…"`, `no-cache="…"`).
  let ownLines: [UInt8]?
  /// How long the content is, where the origin said so.
  let length: UInt64?
  /// Age, lifetime and validators.
  let metadata: Metadata
  /// Where the entity tag stands in `lines`.
  let entityTag: Range<Int>?
  /// The response's Vary rule; nil: it does not vary.
  let varyRule: [UInt8]?
  /// The values of the request that led the fill, for that rule.
  let varyValues: [UInt8]
  /// Every tag a purge may name, the implicit ones included.
  let purgeTags: [UInt64]
  /// Whether others than the leader's client may have it.
  let isShared: Bool
  /// Whether it is being stored.
  let isStored: Bool
  /// Whether it is a stored response that the origin has confirmed (a 304).
  let isValidated: Bool
  /// Whether it is stale, and served because the origin failed (RFC 5861 §4).
  let isServedOnError: Bool
  /// What the origin answered, for Cache-Status.
  let forwardedStatus: UInt16
  /// If the content is stored in slices: where. The fill then has one of them, or none.
  let sliced: SlicedBody?
  /// Where the fill's content begins within the representation's.
  let contentStart: UInt64

  init(
    status: UInt16, lines: [UInt8], ownLines: [UInt8]? = nil, length: UInt64?, metadata: Metadata,
    entityTag: Range<Int>?,
    varyRule: [UInt8]?, varyValues: [UInt8], purgeTags: [UInt64], isShared: Bool, isStored: Bool,
    isValidated: Bool, isServedOnError: Bool, forwardedStatus: UInt16,
    sliced: SlicedBody? = nil, contentStart: UInt64 = 0
  ) {
    self.status = status
    self.lines = lines
    self.ownLines = ownLines
    self.length = length
    self.metadata = metadata
    self.entityTag = entityTag
    self.varyRule = varyRule
    self.varyValues = varyValues
    self.purgeTags = purgeTags
    self.isShared = isShared
    self.isStored = isStored
    self.isValidated = isValidated
    self.isServedOnError = isServedOnError
    self.forwardedStatus = forwardedStatus
    self.sliced = sliced
    self.contentStart = contentStart
  }
}
