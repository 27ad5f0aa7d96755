// Writes field lines as they are stored and sent: `name: value\r\n`, names in lower case, in the order
// of the message, without a start line and without the empty line.
//
// Never written, since the node frames and ages messages itself: fields for one hop, Content-Length
// (unless asked for), Age, and of a request Host and Expect. What the node adds of its own (Via, Age,
// Cache-Status, Content-Length, X-Forwarded-…) is appended by the caller behind these lines.

package import Bytes
package import HTTPMessage

/// What is done with a response's fields.
package struct ResponseFieldOptions: OptionSet, Sendable {
  /// The bits.
  package let rawValue: UInt8
  /// A set of these bits.
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// For the store: fields listed by `no-cache` and `private` are left out, and cookies that are not
  /// for everyone. Who waits for another's fill is sent these fields too.
  package static var storing: ResponseFieldOptions { ResponseFieldOptions(rawValue: 1) }
  /// Surrogate-Key, Cache-Tag and xkey stay.
  package static var exposeTags: ResponseFieldOptions { ResponseFieldOptions(rawValue: 2) }
  /// Content-Length stays: for a response to HEAD and a 304 that are passed on.
  package static var contentLength: ResponseFieldOptions { ResponseFieldOptions(rawValue: 4) }
  /// Set-Cookie is stored whatever the origin says (`SetCookiePolicy.store`).
  package static var storeCookies: ResponseFieldOptions { ResponseFieldOptions(rawValue: 8) }
  /// Set-Cookie goes nowhere (`SetCookiePolicy.strip`).
  package static var stripCookies: ResponseFieldOptions { ResponseFieldOptions(rawValue: 16) }
  /// Surrogate-Control stays: for a route that does not read it.
  package static var exposeSurrogateControl: ResponseFieldOptions {
    ResponseFieldOptions(rawValue: 32)
  }
  /// X-Request-Id goes nowhere: the node says what a request is called.
  package static var nameRequests: ResponseFieldOptions { ResponseFieldOptions(rawValue: 64) }
}

/// Which of a request's fields are not forwarded.
package struct RequestFieldOmissions: OptionSet, Sendable {
  /// The bits.
  package let rawValue: UInt16
  /// A set of these bits.
  package init(rawValue: UInt16) { self.rawValue = rawValue }

  /// If-None-Match, If-Modified-Since, If-Match and If-Unmodified-Since: for a fill, and for a
  /// validation with the node's own conditions.
  package static var conditions: RequestFieldOmissions { RequestFieldOmissions(rawValue: 1) }
  /// Range and If-Range: for a fill, which wants the whole.
  package static var ranges: RequestFieldOmissions { RequestFieldOmissions(rawValue: 2) }
  /// X-Forwarded-For, -Host, -Proto and Forwarded: the node writes its own. And what else speaks for
  /// proxies: `PoisoningDefence`.
  package static var forwarding: RequestFieldOmissions { RequestFieldOmissions(rawValue: 4) }
  /// Fields that ask for another method than the request's: where others may get the answer.
  package static var methods: RequestFieldOmissions { RequestFieldOmissions(rawValue: 32) }
  /// Cache-Control and Pragma: of a request that the node makes for itself.
  package static var directives: RequestFieldOmissions { RequestFieldOmissions(rawValue: 16) }
  /// traceparent: the node writes its own.
  package static var traces: RequestFieldOmissions { RequestFieldOmissions(rawValue: 64) }
  /// X-Request-Id: the node writes its own.
  package static var requestIDs: RequestFieldOmissions { RequestFieldOmissions(rawValue: 128) }
  /// Max-Forwards: the node writes its own, one less.
  package static var maxForwards: RequestFieldOmissions { RequestFieldOmissions(rawValue: 8) }
  /// Authorization, and what begins with X-Amz-: the node signs the request itself, and what a client
  /// orders by such fields would be ordered with the node's key.
  package static var signatures: RequestFieldOmissions { RequestFieldOmissions(rawValue: 256) }
}

/// Composes the fields of stored, sent and forwarded messages.
package enum HeadComposer {
  /// Appends the fields of a response. If it has no Date, or one that is no date, a `date` of
  /// `responseTime` (milliseconds, when the head was received) takes its place at the end (RFC 9110
  /// §6.6.1).
  package static func appendResponseFields(
    _ response: ResponseHead, directives: ResponseDirectives, options: ResponseFieldOptions,
    responseTime: Int64, to buffer: inout ByteBuffer
  ) {
    let connection = ConnectionOptions(response)
    let now = responseTime.wholeSeconds
    let hasDate = response.value(.date).flatMap { HTTPDate.parse($0, now: now) } != nil
    let dateIndex =
      hasDate && !connection.nominates(.date, name: ByteView("date"))
      ? response.fields.first(.date) : nil
    for index in 0..<response.fields.count {
      let line = response.fields[index]
      if line.known == .date && index != dateIndex { continue }
      if isWritten(
        line, of: response, directives: directives, options: options, connection: connection)
      {
        append(line, of: response.bytes, to: &buffer)
      }
    }
    if dateIndex == nil { appendDate(now, to: &buffer) }
  }

  /// Appends the fields of a request that is forwarded, without what is for one hop, Host, Expect,
  /// Content-Length, and what `omitting` names. The last `ownLines` of its lines are the node's own, and
  /// may speak for proxies and methods.
  package static func appendRequestFields(
    _ request: RequestHead, omitting: RequestFieldOmissions, ownLines: Int = 0,
    to buffer: inout ByteBuffer
  ) {
    let connection = ConnectionOptions(request)
    for index in 0..<request.fields.count {
      let line = request.fields[index]
      if isOmitted(line.known, omitting) { continue }
      if line.known == .other, index < request.fields.count - ownLines,
        isOmitted(line.name(in: request.bytes), omitting)
      {
        continue
      }
      if FieldRules.isHopByHop(
        line.known, name: line.name(in: request.bytes), connectionOptions: connection)
      {
        continue
      }
      append(line, of: request.bytes, to: &buffer)
    }
  }

  private static func isWritten(
    _ line: FieldLine, of response: ResponseHead, directives: ResponseDirectives,
    options: ResponseFieldOptions, connection: ConnectionOptions
  ) -> Bool {
    let name = line.name(in: response.bytes)
    switch line.known {
    case .age: return false
    case .contentLength: return options.contains(.contentLength)
    case .surrogateKey, .cacheTag, .xkey: if !options.contains(.exposeTags) { return false }
    case .xRequestId: if options.contains(.nameRequests) { return false }
    case .surrogateControl: if !options.contains(.exposeSurrogateControl) { return false }
    case .setCookie:
      if options.contains(.stripCookies) { return false }
      if options.contains(.storing), !options.contains(.storeCookies),
        !FieldRules.mayStoreSetCookie(directives)
      {
        return false
      }
    default: break
    }
    if FieldRules.isHopByHop(line.known, name: name, connectionOptions: connection) {
      return false
    }
    return !options.contains(.storing)
      || !FieldRules.isListed(name, by: response, directives: directives)
  }

  private static func isOmitted(_ name: ByteView, _ omitting: RequestFieldOmissions) -> Bool {
    if omitting.contains(.forwarding), PoisoningDefence.speaksForProxies(name) { return true }
    if omitting.contains(.signatures), name.count > 6,
      name.prefix(6).equalsIgnoringCase(ByteView("x-amz-"))
    {
      return true
    }
    if omitting.contains(.traces), name.equalsIgnoringCase(ByteView("traceparent")) { return true }
    return omitting.contains(.methods) && PoisoningDefence.changesMethod(name)
  }

  private static func isOmitted(_ known: KnownField, _ omitting: RequestFieldOmissions) -> Bool {
    switch known {
    case .host, .expect, .contentLength: true
    case .ifNoneMatch, .ifModifiedSince, .ifMatch, .ifUnmodifiedSince:
      omitting.contains(.conditions)
    case .range, .ifRange: omitting.contains(.ranges)
    case .xForwardedFor, .xForwardedHost, .xForwardedProto, .forwarded:
      omitting.contains(.forwarding)
    case .xRequestId: omitting.contains(.requestIDs)
    case .authorization: omitting.contains(.signatures)
    case .maxForwards: omitting.contains(.maxForwards)
    case .cacheControl, .pragma: omitting.contains(.directives)
    default: false
    }
  }

  static func append(_ line: FieldLine, of bytes: ByteView, to buffer: inout ByteBuffer) {
    append(name: line.name(in: bytes), value: line.value(in: bytes), to: &buffer)
  }

  static func append(name: ByteView, value: ByteView, to buffer: inout ByteBuffer) {
    buffer.appendLowercased(name)
    buffer.append(": ")
    buffer.append(value)
    buffer.append("\r\n")
  }

  static func appendDate(_ seconds: Int64, to buffer: inout ByteBuffer) {
    buffer.append("date: ")
    HTTPDate.append(seconds, to: &buffer)
    buffer.append("\r\n")
  }
}
