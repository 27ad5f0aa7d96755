// One POST of one document, on a thread that may block: as `KeyFetch`, in the other direction.

package import Bytes
internal import CLinux
internal import Cryptography
internal import EventLoop
internal import HTTPMessage

/// A place that documents are posted to.
package struct DocumentPost: Sendable {
  private let url: KeyURL
  private let contentType: String
  private let timeout: Int64

  /// A place; each post may take `timeout` milliseconds but for looking up the name.
  package init(url: KeyURL, contentType: String, timeout: Int64 = 10_000) {
    self.url = url
    self.contentType = contentType
    self.timeout = timeout
  }

  /// Posts a document. Throws unless it is answered with 200 or another 2xx; what else is in the answer
  /// is not read.
  package func send(_ content: ByteView) throws(FetchError) {
    let deadline = Deadline(milliseconds: timeout)
    let socket = try KeyFetch.connect(
      Socket.resolve(host: url.host, port: url.port), deadline)
    var stream: FetchStream
    if url.isSecure {
      let client: TLSClient
      do throws(OpenSSLError) {
        client = try TLSClient.open(
          trust: TLSTrust.load(file: nil), socket: socket.number, host: url.host,
          hostIsAddress: url.hostIsAddress)
      } catch {
        throw .trust("\(error)")
      }
      stream = FetchStream(socket: socket, tls: client, deadline: deadline)
      try stream.handshake()
    } else {
      stream = FetchStream(socket: socket, tls: nil, deadline: deadline)
    }
    // Named: the view is good as long as the buffer is.
    var head = head(length: content.count)
    try stream.write(head.view)
    head.removeAll()
    try stream.write(content)
    var response = ByteBuffer()
    let status = try KeyFetch.readHead(&stream, &response, to: .post).status
    guard (200..<300).contains(status) else { throw .status(status) }
  }

  private func head(length: Int) -> ByteBuffer {
    var head = ByteBuffer()
    head.append(
      text:
        "POST \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\nContent-Type: \(contentType)\r\n"
        + "Content-Length: \(length)\r\nUser-Agent: weir\r\nConnection: close\r\n\r\n")
    return head
  }
}
