package import Bytes
internal import HTTPMessage

/// Writes the parts of HTTP/1.1 messages; all append to a buffer.
package enum HTTP1Writer {
  /// Appends `HTTP/1.1 200 OK` and CR LF; a code that is not registered has an empty reason phrase.
  package static func statusLine(_ status: UInt16, to buffer: inout ByteBuffer) {
    switch status {
    case 200: buffer.append("HTTP/1.1 200 OK\r\n")
    case 304: buffer.append("HTTP/1.1 304 Not Modified\r\n")
    case 206: buffer.append("HTTP/1.1 206 Partial Content\r\n")
    case 204: buffer.append("HTTP/1.1 204 No Content\r\n")
    case 301: buffer.append("HTTP/1.1 301 Moved Permanently\r\n")
    case 302: buffer.append("HTTP/1.1 302 Found\r\n")
    case 403: buffer.append("HTTP/1.1 403 Forbidden\r\n")
    case 404: buffer.append("HTTP/1.1 404 Not Found\r\n")
    case 429: buffer.append("HTTP/1.1 429 Too Many Requests\r\n")
    default:
      buffer.append("HTTP/1.1 ")
      buffer.append(decimal: UInt64(status))
      buffer.append(ASCII.space)
      buffer.append(StatusCode.reason(status))
      buffer.append("\r\n")
    }
  }

  /// Appends the line before a chunk of `length` bytes, which must be positive: `1f` and CR LF. The
  /// content follows, and then CR LF.
  package static func chunkHeader(length: Int, to buffer: inout ByteBuffer) {
    precondition(length > 0, "a chunk without content would end the body")
    buffer.append(hexadecimal: UInt64(length))
    buffer.append("\r\n")
  }

  /// Appends the last chunk, trailer lines (each with its CR LF, as `ChunkedDecoder.trailers` has
  /// them), and the empty line.
  package static func lastChunk(trailers: ByteView, to buffer: inout ByteBuffer) {
    buffer.append("0\r\n")
    buffer.append(trailers)
    buffer.append("\r\n")
  }
}
