// One GET for one small document, on a thread that may block. No redirects, no proxies, no content
// codings, no connection kept: what an issuer's key set needs, and nothing that could be led elsewhere.
//
//   resolve → connect (each address in turn) → TLS handshake → request → head → content
//
// All of it within one deadline, by the system's clock; each wait is a poll with what is left of it.

internal import Bytes
internal import CLinux
internal import Cryptography
package import EventLoop
internal import HTTP1
internal import HTTPMessage

/// Why a document could not be fetched.
package enum FetchError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The name has no address.
  case noAddress
  /// No address let us connect; why the last one did not.
  case connect(Errno)
  /// The deadline passed.
  case timeout
  /// The certificates to trust could not be loaded, or OpenSSL could not begin.
  case trust(String)
  /// TLS failed; a certificate that is refused is here.
  case tls(String)
  /// The connection failed.
  case socket(Errno)
  /// What came is not a response in HTTP/1.1, or not whole.
  case badResponse(String)
  /// Another status than 200. Redirects are not followed.
  case status(UInt16)
  /// The content has a coding, though none was asked for.
  case contentCoding
  /// The content is larger than the limit.
  case tooLarge

  /// What went wrong, in a few words.
  package var description: String {
    switch self {
    case .noAddress: "the host has no address"
    case .connect(let error): "cannot connect: \(error)"
    case .timeout: "no answer in time"
    case .trust(let text): "cannot set up TLS: \(text)"
    case .tls(let text): "TLS: \(text)"
    case .socket(let error): "the connection failed: \(error)"
    case .badResponse(let text): "not a response: \(text)"
    case .status(let status): "the server answered \(status)"
    case .contentCoding: "the content has a coding that was not asked for"
    case .tooLarge: "the content is too large"
    }
  }
}

/// One fetch of one document.
package struct KeyFetch {
  private let url: KeyURL
  private let trustFile: String?
  private let maxBytes: Int

  private let timeout: Int64

  /// A fetch of at most `maxBytes`, in `timeout` milliseconds but for looking up the name, which the
  /// system bounds.
  package init(
    url: KeyURL, trustFile: String?, maxBytes: Int = 1 << 20, timeout: Int64 = 10_000
  ) {
    self.url = url
    self.trustFile = trustFile
    self.maxBytes = min(max(maxBytes, 0), 1 << 30)
    self.timeout = timeout
  }

  /// The document.
  package func run() throws(FetchError) -> [UInt8] {
    let addresses = Socket.resolve(host: url.host, port: url.port)
    let deadline = Deadline(milliseconds: timeout)
    let socket = try KeyFetch.connect(addresses, deadline)
    if url.isSecure {
      let trust: TLSTrust
      let client: TLSClient
      do throws(OpenSSLError) {
        trust = try TLSTrust.load(file: trustFile)
        client = try TLSClient.open(
          trust: trust, socket: socket.number, host: url.host, hostIsAddress: url.hostIsAddress)
      } catch {
        throw .trust("\(error)")
      }
      var stream = FetchStream(socket: socket, tls: client, deadline: deadline)
      try stream.handshake()
      return try exchange(&stream)
    }
    var stream = FetchStream(socket: socket, tls: nil, deadline: deadline)
    return try exchange(&stream)
  }

  static func connect(
    _ addresses: [SocketAddress], _ deadline: Deadline
  ) throws(FetchError) -> Descriptor {
    var last = FetchError.noAddress
    for address in addresses {
      do throws(FetchError) {
        return try connect(address, deadline)
      } catch {
        last = error
      }
    }
    throw last
  }

  private static func connect(
    _ address: SocketAddress, _ deadline: Deadline
  ) throws(FetchError) -> Descriptor {
    let socket: Descriptor
    do throws(Errno) {
      socket = try Socket.connect(to: address)
    } catch {
      throw .connect(error)
    }
    try deadline.wait(socket.number, Int16(POLLOUT))
    if let error = socket.socketError() { throw .connect(error) }
    return socket
  }

  private func exchange(_ stream: inout FetchStream) throws(FetchError) -> [UInt8] {
    var request = ByteBuffer()
    request.append(
      text: "GET \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\n"
        + "Accept: application/jwk-set+json, application/json\r\nAccept-Encoding: identity\r\n"
        + "User-Agent: weir\r\nConnection: close\r\n\r\n")
    try stream.write(request.view)
    var response = ByteBuffer()
    let head = try Self.readHead(&stream, &response, to: .get)
    guard head.status == 200 else { throw .status(head.status) }
    if let coding = head.value(.contentEncoding), !coding.equalsIgnoringCase(ByteView("identity")) {
      throw .contentCoding
    }
    let framing = head.framing
    response.removeFirst(head.length)
    return try readContent(framing, &stream, &response)
  }

  /// Reads up to the final response's head, past interim ones (RFC 9110 §15.2).
  static func readHead(
    _ stream: inout FetchStream, _ response: inout ByteBuffer, to method: HTTPMessage.Method
  ) throws(FetchError) -> ResponseHead {
    let limits = HeadLimits(maxHead: 16_384)
    var interim = 0
    while true {
      let head = ResponseHead()
      switch ResponseParser.parse(
        response.view, limits: limits, requestMethod: method, into: head)
      {
      case .complete where head.status >= 200: return head
      case .complete:
        interim += 1
        guard head.status != 101, interim <= 8 else { throw .badResponse("interim responses") }
        response.removeFirst(head.length)
      case .incomplete:
        guard try stream.read(onto: &response) else { throw .badResponse("the head is cut off") }
      case .invalid(let defect): throw .badResponse("\(defect.text)")
      }
    }
  }

  private func readContent(
    _ framing: BodyFraming, _ stream: inout FetchStream, _ response: inout ByteBuffer
  ) throws(FetchError) -> [UInt8] {
    switch framing {
    case .none: return []
    case .length(let length):
      guard length <= UInt64(maxBytes) else { throw .tooLarge }
      while response.count < Int(length) {
        guard try stream.read(onto: &response) else { throw .badResponse("content is cut off") }
      }
      return response.view.prefix(Int(length)).array
    case .untilClose:
      while try stream.read(onto: &response) {
        guard response.count <= maxBytes else { throw .tooLarge }
      }
      guard response.count <= maxBytes else { throw .tooLarge }
      return response.view.array
    case .chunked: return try readChunks(&stream, &response)
    }
  }

  private func readChunks(
    _ stream: inout FetchStream, _ response: inout ByteBuffer
  ) throws(FetchError) -> [UInt8] {
    var decoder = ChunkedDecoder()
    var content = ByteBuffer()
    while true {
      var offset = 0
      reading: while true {
        switch decoder.next(response.view, offset: &offset) {
        case .content(let range):
          guard content.count + range.count <= maxBytes else { throw .tooLarge }
          content.append(response.view[range])
        case .end: return content.view.array
        case .invalid(let defect): throw .badResponse("\(defect.text)")
        case .incomplete: break reading
        }
      }
      response.removeAll()
      guard try stream.read(onto: &response) else { throw .badResponse("content is cut off") }
    }
  }
}
