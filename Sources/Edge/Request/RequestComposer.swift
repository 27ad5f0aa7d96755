// The request as the origin gets it (RFC 9110 §7.6): hop-by-hop fields gone, `Via` and the client's
// address added, and the fields by which a client could speak for the node overwritten.

internal import Bytes
internal import EventLoop
internal import HTTPCaching
internal import HTTPMessage

/// What is asked of the origin, beyond what the client asked.
struct ForwardingOptions {
  /// The answer may be stored: ask for the whole of it, whatever the client has already.
  var isFill = false
  /// The answer may be stored under a key: what the key does not say must not shape it.
  var isKeyed = false
  /// No client waits for the answer: what the one before it asked of caches does not count.
  var isBackground = false
  /// Validate the stored response with this entity tag.
  var entityTag = ByteView()
  /// Validate it with this Last-Modified value.
  var lastModified = ByteView()
  /// Pass an upgrade on.
  var upgrade = false
  /// The client takes trailers.
  var takesTrailers = false
  /// The request is signed by the node.
  var isSigned = false
  /// How many of the request's last lines rules have set.
  var ownLines = 0
  /// Whether the client's connection has TLS.
  var isSecure = false
  /// Whether the request came by HTTP/2.
  var isHTTP2 = false
  /// What `Host` is to say; empty: what the client's says.
  var host = ByteView()
  /// The node's name for `Via`.
  var nodeName = ByteView()
  /// The node writes an `X-Request-Id` of its own, among `slice`.
  var isNamed = false
  /// The node writes a `traceparent` of its own, among `slice`.
  var isTraced = false
  /// Lines of the node's own: those that ask for a slice, or say what a service is asked about.
  var slice = ByteView()
  /// The path and query to ask for; empty: the client's.
  var target = ByteView()
}

enum RequestComposer {
  /// Appends the whole head.
  static func append(
    _ head: RequestHead, client: SocketAddress, options: ForwardingOptions,
    to wire: inout ByteBuffer
  ) {
    let bytes = head.bytes
    // By its meaning, not by the client's bytes: a fill that a HEAD began is a GET.
    if head.method == .other {
      wire.append(bytes[head.methodRange])
    } else {
      wire.append(head.method.name)
    }
    wire.append(ASCII.space)
    RequestTarget.appendTarget(
      options.target.isEmpty ? bytes[head.target] : options.target, to: &wire)
    wire.append(" HTTP/1.1\r\nhost: ")
    let authority = bytes[head.authority]
    wire.append(options.host.isEmpty ? authority : options.host)
    wire.append("\r\n")
    var omissions: RequestFieldOmissions = .forwarding
    if options.isFill { omissions.formUnion([.conditions, .ranges]) }
    if options.isFill || options.isKeyed { omissions.insert(.methods) }
    if options.isBackground { omissions.insert(.directives) }
    if head.method == .options { omissions.insert(.maxForwards) }
    if options.isNamed { omissions.insert(.requestIDs) }
    if options.isTraced { omissions.insert(.traces) }
    if options.isSigned { omissions.insert(.signatures) }
    HeadComposer.appendRequestFields(
      head, omitting: omissions, ownLines: options.ownLines, to: &wire)
    if head.method == .options { appendMaxForwards(head, to: &wire) }
    Validators.appendConditions(
      etag: options.entityTag.isEmpty ? nil : options.entityTag,
      lastModified: options.lastModified.isEmpty ? nil : options.lastModified, to: &wire)
    wire.append(options.slice)
    appendClient(client, authority: authority, isSecure: options.isSecure, to: &wire)
    appendVia(head, options: options, to: &wire)
    appendFraming(head, options: options, to: &wire)
    wire.append("\r\n")
  }

  /// Whether the client says that it takes trailers (RFC 9110 §6.5.1), which the node passes on.
  static func takesTrailers(_ head: RequestHead) -> Bool {
    guard head.fields.contains(.te) else { return false }
    var takes = false
    head.fields.forEach(.te, in: head.bytes) { value in
      var elements = ListElements(ofTokens: value)
      while let element = elements.next() {
        takes = takes || element.equalsIgnoringCase(ByteView("trailers"))
      }
    }
    return takes
  }

  private static func appendFraming(
    _ head: RequestHead, options: ForwardingOptions, to wire: inout ByteBuffer
  ) {
    if head.expectsContinue && head.framing != .none { wire.append("expect: 100-continue\r\n") }
    switch head.framing {
    case .length(let length):
      wire.append("content-length: ")
      wire.append(decimal: length)
      wire.append("\r\n")
    case .chunked: wire.append("transfer-encoding: chunked\r\n")
    case .none, .untilClose: break
    }
    // TE is for one hop, and `Connection` has to say so; where an upgrade needs that, it is left out.
    if options.takesTrailers && !options.upgrade {
      wire.append("te: trailers\r\nconnection: te\r\n")
    }
    if options.upgrade, let protocols = head.value(.upgrade) {
      wire.append("connection: upgrade\r\nupgrade: ")
      wire.append(protocols)
      wire.append("\r\n")
      if options.isHTTP2 { appendWebSocketKey(to: &wire) }
    }
  }

  /// RFC 9110 §7.6.2: one hop fewer. With none left the request does not come here.
  private static func appendMaxForwards(_ head: RequestHead, to wire: inout ByteBuffer) {
    guard let hops = head.value(.maxForwards).flatMap({ Decimal.parse($0) }), hops > 0 else {
      return
    }
    wire.append("max-forwards: ")
    wire.append(decimal: hops - 1)
    wire.append("\r\n")
  }

  private static func appendClient(
    _ client: SocketAddress, authority: ByteView, isSecure: Bool, to wire: inout ByteBuffer
  ) {
    wire.append("x-forwarded-for: ")
    append(client, to: &wire)
    let scheme: StaticString = isSecure ? "https" : "http"
    wire.append("\r\nx-forwarded-proto: ")
    wire.append(scheme)
    wire.append("\r\nx-forwarded-host: ")
    wire.append(authority)
    // RFC 7239 §6: an IPv6 address is in brackets and quoted.
    wire.append("\r\nforwarded: for=")
    if !client.isIPv4 { wire.append("\"[") }
    append(client, to: &wire)
    if !client.isIPv4 { wire.append("]\"") }
    wire.append(";host=\"")
    wire.append(authority)
    wire.append("\";proto=")
    wire.append(scheme)
    wire.append("\r\n")
  }

  private static func append(_ client: SocketAddress, to wire: inout ByteBuffer) {
    guard client.isIPv4 else {
      wire.append(text: client.host)
      return
    }
    for shift in stride(from: UInt64(24), through: 0, by: -8) {
      wire.append(decimal: client.low &>> shift & 0xFF)
      if shift > 0 { wire.append(0x2E) }
    }
  }

  /// RFC 9110 §7.6.3: what the request passed before, and now us.
  private static func appendVia(
    _ head: RequestHead, options: ForwardingOptions, to wire: inout ByteBuffer
  ) {
    wire.append("via: ")
    wire.append(options.isHTTP2 ? "2.0 " : head.minorVersion == 0 ? "1.0 " : "1.1 ")
    wire.append(options.nodeName)
    wire.append("\r\n")
  }

  /// What HTTP/1.1 wants of a WebSocket's begin and HTTP/2 has no use for (RFC 8441 §5): 16 random bytes
  /// in base64 (RFC 6455 §4.1).
  private static func appendWebSocketKey(to wire: inout ByteBuffer) {
    let random = Random.hash128()
    let digits = ByteView("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    wire.append("sec-websocket-key: ")
    // 128 bits are 21 digits of six bits, and two bits at the front of one more.
    for index in 0..<22 {
      let shift = index * 6
      let bits =
        shift < 60
        ? random.low &>> UInt64(shift)
        : shift < 64
          ? random.low &>> 60 | random.high &<< 4 : random.high &>> UInt64(shift - 64)
      wire.append(digits[Int(index == 21 ? bits << 4 & 0x30 : bits & 0x3F)])
    }
    wire.append("==\r\n")
  }
}
