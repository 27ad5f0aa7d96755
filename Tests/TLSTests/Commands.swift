import CLinux
import Testing

/// A program that was started; its output goes to files.
struct Program: ~Copyable {
  private let id: pid_t

  /// Starts a program found on the PATH, without input.
  init(_ words: [String], output: String) throws {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(
      &actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    let result = unsafe posix_spawnp(&id, words[0], &actions, nil, arguments, weir_environment())
    try #require(result == 0, "\(words[0]) must be installed")
    self.id = id
  }

  /// Waits for its end; its exit status.
  consuming func wait() -> Int32 {
    var status: Int32 = 0
    while unsafe waitpid(id, &status, 0) < 0, weir_errno() == EINTR {}
    return weir_wifexited(status) != 0 ? weir_wexitstatus(status) : -1
  }
}

/// A directory of its own, removed with its files when it goes.
final class Directory: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/weir-tls-XXXXXX".utf8CString)
    let isMade = unsafe mkdtemp(&template) != nil
    try #require(isMade)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    if let folder = unsafe opendir(path) {
      while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
        }
        if name != "." && name != ".." { unsafe unlink(path + "/" + name) }
      }
      unsafe closedir(folder)
    }
    unsafe rmdir(path)
  }

  subscript(name: String) -> String { path + "/" + name }

  func write(_ text: String, _ name: String) throws {
    guard let file = unsafe fopen(self[name], "w") else { throw Missing() }
    defer { unsafe fclose(file) }
    unsafe fputs(text, file)
  }

  func read(_ name: String) -> String {
    guard let file = unsafe fopen(self[name], "r") else { return "" }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }
}

/// Certificates made by the openssl command, once for all tests.
struct TestCertificates: Sendable {
  static let shared = Result { try TestCertificates() }
  let directory: Directory

  var authority: String { directory["ca.pem"] }
  var otherAuthority: String { directory["other.pem"] }
  func files(_ name: String, staple: String? = nil) -> (chain: String, key: String) {
    (directory["\(name).pem"], directory["\(name).key"])
  }

  private static let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

  private init() throws {
    directory = try Directory()
    for name in ["ca", "other"] {
      try request(name, Self.ec + ["-subj", "/CN=\(name)", "-addext", "keyUsage=keyCertSign"])
    }
    try leaf("rsa", ["-newkey", "rsa:2048"], "DNS:a.example,DNS:b.example")
    try leaf("ec", Self.ec, "DNS:a.example")
    try leaf("wild", Self.ec, "DNS:*.w.example")
    try leaf("address", Self.ec, "IP:127.0.0.1")
    try leaf("other-leaf", Self.ec, "DNS:a.example", authority: "other")
    try leaf("client", Self.ec, "email:a@a.example,DNS:client.example", subject: "/O=Shop/CN=Ann")
    try run([
      "pkey", "-in", directory["ec.key"], "-aes256", "-passout", "pass:secret", "-out",
      directory["encrypted.key"],
    ])
    try directory.write("", "index")
    try run([
      "ocsp", "-index", directory["index"], "-CA", authority, "-rsigner", authority, "-rkey",
      directory["ca.key"], "-issuer", authority, "-cert", directory["ec.pem"], "-ndays", "7",
      "-respout", directory["ec.ocsp"],
    ])
  }

  private func leaf(
    _ name: String, _ kind: [String], _ names: String, authority: String = "ca",
    subject: String = "/CN=leaf"
  ) throws {
    try request(
      name,
      kind + [
        "-subj", subject, "-addext", "subjectAltName=\(names)", "-addext",
        "basicConstraints=critical,CA:FALSE", "-CA", directory["\(authority).pem"], "-CAkey",
        directory["\(authority).key"],
      ])
  }

  private func request(_ name: String, _ words: [String]) throws {
    try run(
      ["req", "-x509", "-nodes", "-days", "30", "-keyout", directory["\(name).key"], "-out"]
        + [directory["\(name).pem"]] + words)
  }

  private func run(_ words: [String]) throws {
    let status = try Program(["openssl"] + words, output: directory["log"]).wait()
    try #require(status == 0, "openssl \(words): \(directory.read("log"))")
  }
}
