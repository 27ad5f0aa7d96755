package import Bytes
internal import HTTPMessage

/// Content that has no end of its own: what has been said is no answer to who asks later, and who waited for
/// its end, or read it from the beginning, would wait for ever. So nothing of it is stored or shared,
/// whatever lifetime it is given.
package enum EndlessContent {
  /// Whether content of a type is such: events (text/event-stream), pictures that replace each other
  /// (multipart/x-mixed-replace), and remote calls (application/grpc and what it is made of).
  ///
  /// - Parameter contentType: the field's value, with its parameters.
  package static func isType(_ contentType: ByteView?) -> Bool {
    guard let contentType else { return false }
    let end = contentType.firstIndex(of: ASCII.semicolon) ?? contentType.count
    let type = contentType.prefix(end).trimmingWhitespace
    let grpc = ByteView("application/grpc")
    if type.prefix(grpc.count).equalsIgnoringCase(grpc) {
      // application/grpc+proto, application/grpc-web; not application/grpcx.
      return type.count == grpc.count || type[grpc.count] == 0x2B || type[grpc.count] == 0x2D
    }
    return type.equalsIgnoringCase(ByteView("text/event-stream"))
      || type.equalsIgnoringCase(ByteView("multipart/x-mixed-replace"))
  }
}
