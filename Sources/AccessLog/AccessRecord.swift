package import Bytes
package import EventLoop

/// What a worker says about a request that has ended. The views need only be good for the call.
package struct AccessRecord {
  /// When it ended, milliseconds since the epoch.
  package var wall: Int64 = 0
  /// From its first byte to its response's last, nanoseconds.
  package var duration: Int64 = 0
  /// From the request to the origin to its response's head, nanoseconds; −1 if none was asked.
  package var originDuration: Int64 = -1
  /// The response's status code.
  package var status: UInt16 = 0
  /// What the cache did: a place among the log's cache labels.
  package var cache: UInt8 = 0
  /// Why it was forwarded, or what went wrong: a place among the log's detail labels; 255 for none.
  package var detail: UInt8 = 255
  /// A place among the log's routes; `UInt16.max` for none.
  package var route: UInt16 = .max
  /// The version as two digits: 10, 11 or 20.
  package var version: UInt8 = 11
  /// The channel that it goes by; one that there is not stands for none.
  package var channel: UInt8 = 0
  /// Whether no line is wanted of it, and it is only for who watches.
  package var isOnlyWatched = false
  /// The number of the connection's TLS cipher suite (IANA's registry); 0 without TLS.
  package var cipherSuite: UInt16 = 0
  /// The client.
  package var client = SocketAddress(high: 0, low: 0, port: 0)
  /// Bytes of the response that were sent, its head included.
  package var bytesSent: UInt64 = 0
  /// Bytes of the request that were received, its head included.
  package var bytesReceived: UInt64 = 0
  /// The method, as the client sent it.
  package var method = ByteView()
  /// The host, as the client named it.
  package var host = ByteView()
  /// The request target, as the client sent it.
  package var target = ByteView()
  /// The `Referer` field.
  package var referer = ByteView()
  /// The `User-Agent` field.
  package var userAgent = ByteView()
  /// Members that rules add, as `LogMembers` packs them.
  package var members = ByteView()

  /// A record that says nothing yet.
  package init() {}

  /// The longest text of a field that is kept.
  package static var textLimit: Int { 2048 }
}
