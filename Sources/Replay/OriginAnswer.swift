internal import Bytes
internal import HTTP1
internal import HTTPMessage

/// What the origin says to a request: a head, and how much content of which length.
struct OriginAnswer {
  var status: UInt16
  var content: UInt64 = 0
  /// What `Content-Length` says; content is left out for HEAD and 304.
  var length: UInt64 = 0
  var range: (first: UInt64, last: UInt64)?
  var object: OriginObject?

  init(to request: RequestHead, from table: OriginTable) {
    guard let object = table.object(request.bytes[request.target]) else {
      status = 404
      return
    }
    self.object = object
    status = object.status
    length = object.size
    if status == 200, let tag = request.value(.ifNoneMatch), Self.isTag(tag, of: object) {
      status = 304
      return
    }
    if status == 204 { length = 0 }
    if status == 200, request.method == .get, let value = request.value(.range),
      request.value(.ifRange).map({ Self.isTag($0, of: object) }) ?? true,
      let range = Self.range(value, size: object.size)
    {
      self.range = range
      status = 206
      length = range.last - range.first + 1
    }
    content = request.method == .head ? 0 : length
  }

  /// Appends the head.
  func append(to buffer: inout ByteBuffer, date: ByteView, lifetime: Int32, keepsAlive: Bool) {
    HTTP1Writer.statusLine(status, to: &buffer)
    buffer.append("Date: ")
    buffer.append(date)
    if let object {
      buffer.append("\r\nETag: ")
      Self.appendTag(object, to: &buffer)
      let lifetime = object.lifetime >= 0 ? object.lifetime : lifetime
      if lifetime > 0 {
        buffer.append("\r\nCache-Control: max-age=")
        buffer.append(decimal: UInt64(lifetime))
      } else {
        buffer.append("\r\nCache-Control: no-store")
      }
    }
    if let range, let object {
      buffer.append("\r\nContent-Range: bytes ")
      buffer.append(decimal: range.first)
      buffer.append("-")
      buffer.append(decimal: range.last)
      buffer.append("/")
      buffer.append(decimal: object.size)
    }
    if status != 304 && status != 204 {
      buffer.append("\r\nContent-Type: application/octet-stream\r\nContent-Length: ")
      buffer.append(decimal: length)
    }
    if !keepsAlive { buffer.append("\r\nConnection: close") }
    buffer.append("\r\n\r\n")
  }

  /// A strong validator: an object's content is told by its length.
  private static func appendTag(_ object: OriginObject, to buffer: inout ByteBuffer) {
    buffer.append("\"")
    buffer.append(hexadecimal: object.size)
    buffer.append("\"")
  }

  private static func isTag(_ value: ByteView, of object: OriginObject) -> Bool {
    var buffer = ByteBuffer(capacity: 24)
    appendTag(object, to: &buffer)
    return value == buffer.view
  }

  /// A single range of bytes (RFC 9110 §14.1.2) that is within the content; all else is ignored, as it
  /// may be (§14.2).
  static func range(_ value: ByteView, size: UInt64) -> (first: UInt64, last: UInt64)? {
    let unit = ByteView("bytes=")
    guard size > 0, value.starts(with: unit) else { return nil }
    let spec = value.dropping(first: unit.count)
    guard let dash = spec.firstIndex(of: 0x2D) else { return nil }
    let first = UInt64(spec[0..<dash].string)
    let last = UInt64(spec.dropping(first: dash + 1).string)
    if let first {
      guard first < size, dash + 1 == spec.count || last != nil else { return nil }
      let end = min(last ?? size - 1, size - 1)
      return first <= end ? (first, end) : nil
    }
    guard dash == 0, let last, last > 0 else { return nil }
    return (size - min(last, size), size - 1)
  }
}
