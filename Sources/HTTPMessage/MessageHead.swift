// Heads of requests and responses: offsets into the bytes they came in.
//
// While a request is answered within the turn that read it, its head refers to the worker's read
// buffer. One that must wait calls `own()`, which copies the bytes once; the offsets stay as they are.

package import Bytes

/// How a message's content is delimited (RFC 9112 §6.3).
package enum BodyFraming: Equatable, Sendable {
  /// No content follows the head.
  case none
  /// That many bytes follow.
  case length(UInt64)
  /// The chunked transfer coding.
  case chunked
  /// All until the connection closes; responses only.
  case untilClose
}

/// A request's head, as any of the protocols' codecs read it.
package final class RequestHead {
  /// The bytes that all offsets refer to.
  package var bytes = ByteView()
  /// The method.
  package var method: Method = .get
  /// Where the method's name is, for those that are `other`.
  package var methodRange: Range<Int> = 0..<0
  /// The path and query as sent, without scheme and authority; `*` and CONNECT's authority as sent.
  /// An absolute-form without a path has `/` here, or only `?` and the query if it has one.
  package var target: Range<Int> = 0..<0
  /// The path alone: begins with `/`, or is `*`; empty for CONNECT.
  package var path: Range<Int> = 0..<0
  /// The query without its question mark; nil if there is no question mark.
  package var query: Range<Int>?
  /// The authority: of the target in absolute-form, else of `Host`. Empty if HTTP/1.0 named none.
  package var authority: Range<Int> = 0..<0
  /// 0 for HTTP/1.0, 1 for HTTP/1.1.
  package var minorVersion: UInt8 = 1
  /// The fields.
  package var fields = FieldTable()
  /// How the content is delimited.
  package var framing: BodyFraming = .none
  /// Whether the connection may carry another request (RFC 9112 §9.3).
  package var keepAlive = true
  /// Whether the client waits for 100 (Continue) before it sends content (RFC 9110 §10.1.1).
  package var expectsContinue = false
  /// Whether `Connection` names `upgrade` and `Upgrade` is there (RFC 9110 §7.8).
  package var wantsUpgrade = false
  /// How long the head is, with the empty line.
  package var length = 0

  private var owned = ByteBuffer()

  /// An empty head.
  package init() {}

  /// Copies the bytes of the head, so that it outlives the buffer it was read into.
  package func own() {
    // Owned already: only addresses are compared.
    if !owned.isEmpty, unsafe bytes.baseAddress == owned.view.baseAddress { return }
    owned.removeAll()
    owned.append(bytes.prefix(length))
    bytes = owned.view
  }

  /// Takes over what another head says and copies its bytes.
  package func copy(_ other: RequestHead) {
    method = other.method
    methodRange = other.methodRange
    target = other.target
    path = other.path
    query = other.query
    authority = other.authority
    minorVersion = other.minorVersion
    framing = other.framing
    keepAlive = other.keepAlive
    expectsContinue = other.expectsContinue
    wantsUpgrade = other.wantsUpgrade
    length = other.length
    fields.removeAll()
    for index in 0..<other.fields.count { fields.append(other.fields[index]) }
    owned.removeAll()
    owned.append(other.bytes.prefix(length))
    bytes = owned.view
  }

  /// The value of the first line of a known field.
  package func value(_ known: KnownField) -> ByteView? { fields.value(known, in: bytes) }
}

/// A response's head, as read from an origin.
package final class ResponseHead {
  /// The bytes that all offsets refer to.
  package var bytes = ByteView()
  /// The status code, 100 to 599 as the codec lets through.
  package var status: UInt16 = 200
  /// 0 for HTTP/1.0, 1 for HTTP/1.1.
  package var minorVersion: UInt8 = 1
  /// The fields.
  package var fields = FieldTable()
  /// How the content is delimited.
  package var framing: BodyFraming = .none
  /// Whether the connection may be used again.
  package var keepAlive = true
  /// How long the head is, with the empty line.
  package var length = 0

  /// An empty head.
  package init() {}

  /// The value of the first line of a known field.
  package func value(_ known: KnownField) -> ByteView? { fields.value(known, in: bytes) }
}
