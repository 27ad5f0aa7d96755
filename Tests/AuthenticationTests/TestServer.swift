import CLinux
import COpenSSL
import EventLoop
import Synchronization

/// A certificate that vouches for itself, made for one test.
@safe final class TestCertificate: @unchecked Sendable {
  // Sendable because nothing changes it after it is made.
  fileprivate let certificate: OpaquePointer
  fileprivate let key: OpaquePointer

  /// A certificate for names as OpenSSL writes them (`DNS:localhost`), valid until so many seconds
  /// from now.
  init?(names: String, validFor seconds: Int = 3_600) {
    guard let key = unsafe weir_generate_ec("P-256"), let made = unsafe X509_new() else {
      return nil
    }
    unsafe self.key = key
    unsafe certificate = made
    unsafe X509_set_version(made, 2)
    unsafe ASN1_INTEGER_set(X509_get_serialNumber(made), 1)
    unsafe X509_gmtime_adj(X509_getm_notBefore(made), -7_200)
    unsafe X509_gmtime_adj(X509_getm_notAfter(made), seconds)
    unsafe X509_set_pubkey(made, key)
    let name = unsafe X509_get_subject_name(made)
    unsafe X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, "test", -1, -1, 0)
    unsafe X509_set_issuer_name(made, name)
    let extensions = unsafe X509V3_EXT_conf_nid(nil, nil, NID_subject_alt_name, names)
    unsafe X509_add_ext(made, extensions, -1)
    unsafe X509_EXTENSION_free(extensions)
    guard unsafe X509_sign(made, key, EVP_sha256()) > 0 else { return nil }
  }

  deinit {
    unsafe X509_free(certificate)
    unsafe EVP_PKEY_free(key)
  }

  /// Writes the certificate to a file, for a client to trust.
  func write(to path: String) -> Bool {
    guard let file = unsafe BIO_new_file(path, "w") else { return false }
    defer { unsafe BIO_free(file) }
    return unsafe PEM_write_bio_X509(file, certificate) == 1
  }
}

/// Answers each connection with fixed bytes, over TLS if it has a certificate.
final class TestServer: Sendable {
  /// What a connection is answered with.
  enum Answer: Sendable {
    /// The bytes, and then the end.
    case bytes(String)
    /// The bytes, and then the connection is closed without a word of TLS.
    case cutOff(String)
    /// Nothing, until the server stops.
    case silence
  }

  let port: UInt16
  private let listener: Descriptor
  private let certificate: TestCertificate?
  private let answer: @Sendable (Int) -> Answer
  private let stopping = Atomic<Bool>(false)
  private let served = Atomic<Int>(0)
  private let thread = Mutex<LoopThread?>(nil)
  private let heads = Mutex<[String]>([])

  init(
    certificate: TestCertificate? = nil, answer: @escaping @Sendable (Int) -> Answer
  ) throws {
    listener = try Socket.listen(
      on: SocketAddress(high: 0, low: 0xFFFF_7F00_0001, port: 0), shared: false)
    port = Socket.localAddress(of: listener)?.port ?? 0
    self.certificate = certificate
    self.answer = answer
    // OpenSSL writes without MSG_NOSIGNAL, on either side.
    weir_ignore_signal(SIGPIPE)
    thread.withLock { thread in
      thread = LoopThread(name: "test-server") { [self] in run() }
    }
  }

  /// The heads of the requests.
  var requests: [String] { heads.withLock { $0 } }

  func stop() {
    stopping.store(true, ordering: .releasing)
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }

  private func run() {
    while !stopping.load(ordering: .acquiring) {
      guard waitFor(listener.number) else { continue }
      var address = SocketAddress(high: 0, low: 0, port: 0)
      guard let socket = (try? Socket.accept(from: listener, address: &address)) ?? nil else {
        continue
      }
      _ = weir_fcntl_int(socket.number, F_SETFL, 0)
      serve(socket)
    }
  }

  /// Whether something is to be read within 20 ms.
  private func waitFor(_ socket: Int32) -> Bool {
    var watched = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&watched, 1, 20) > 0
  }

  private func serve(_ socket: borrowing Descriptor) {
    let answer = answer(served.load(ordering: .relaxed))
    defer { served.add(1, ordering: .releasing) }
    if case .silence = answer {
      while !stopping.load(ordering: .acquiring) { _ = poll(nil, 0, 20) }
      return
    }
    guard let certificate else { return unsafe exchange(socket.number, nil, answer) }
    let context = unsafe SSL_CTX_new(TLS_server_method())
    defer { unsafe SSL_CTX_free(context) }
    unsafe SSL_CTX_use_certificate(context, certificate.certificate)
    unsafe SSL_CTX_use_PrivateKey(context, certificate.key)
    let tls = unsafe SSL_new(context)
    defer { unsafe SSL_free(tls) }
    unsafe SSL_set_fd(tls, socket.number)
    if unsafe SSL_accept(tls) == 1 { unsafe exchange(socket.number, tls, answer) }
    ERR_clear_error()
  }

  private func exchange(_ socket: Int32, _ tls: OpaquePointer?, _ answer: Answer) {
    var head: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 4_096)
    while !String(decoding: head, as: UTF8.self).hasSuffix("\r\n\r\n") {
      let count =
        unsafe tls == nil
        ? unsafe recv(socket, &block, 4_096, 0) : Int(SSL_read(tls, &block, 4_096))
      guard count > 0 else { return }
      head += block[..<count]
    }
    let text = String(decoding: head, as: UTF8.self)
    heads.withLock { $0.append(text) }
    switch answer {
    case .silence: return
    case .bytes(let text), .cutOff(let text):
      let bytes = Array(text.utf8)
      if unsafe tls == nil {
        _ = unsafe send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      } else {
        unsafe SSL_write(tls, bytes, Int32(bytes.count))
      }
    }
    if case .bytes = answer, unsafe tls != nil { unsafe SSL_shutdown(tls) }
  }
}

/// A response with a length.
func response(_ content: String, status: String = "200 OK", fields: String = "") -> String {
  "HTTP/1.1 \(status)\r\nContent-Length: \(content.utf8.count)\r\n\(fields)\r\n\(content)"
}
