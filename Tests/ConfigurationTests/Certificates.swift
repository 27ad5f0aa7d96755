// Certificates made by the openssl command, once for all tests.

internal import CLinux
import Testing

/// Files that `certificate` may name, in a directory that stays until the tests end.
struct Certificates: Sendable {
  static let shared = Result { try Certificates() }
  /// `a.pem`, `a.key`: for a.example and *.a.example; `b`: for b.example; `old`: expired; `locked.key`:
  /// a's key with a password.
  let directory: String

  private init() throws {
    var template = Array("/tmp/weir-certificates-XXXXXX".utf8CString)
    let made = unsafe template.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) }.map { unsafe String(cString: $0) }
    }
    directory = try #require(made)
    try leaf("a", "DNS:a.example,DNS:*.a.example")
    try leaf("b", "DNS:b.example")
    try run([
      "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
      "/CN=old", "-addext", "subjectAltName=DNS:old.example", "-keyout", path("old.key"), "-out",
      path("old.csr"),
    ])
    // A certificate of no days has ended with the second in which it was made.
    try run([
      "x509", "-req", "-in", path("old.csr"), "-signkey", path("old.key"), "-days", "-1",
      "-copy_extensions", "copy", "-out", path("old.pem"),
    ])
    try run([
      "pkey", "-in", path("a.key"), "-aes256", "-passout", "pass:secret", "-out",
      path("locked.key"),
    ])
    for name in ["a.key", "b.key", "old.key", "locked.key"] {
      unsafe chmod(path(name), 0o600)
    }
  }

  func path(_ name: String) -> String { directory + "/" + name }

  private func leaf(_ name: String, _ names: String) throws {
    try run([
      "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt",
      "ec_paramgen_curve:P-256", "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(names)",
      "-keyout", path(name + ".key"), "-out", path(name + ".pem"),
    ])
  }

  private func run(_ words: [String]) throws {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for number: Int32 in [1, 2] {
      unsafe posix_spawn_file_actions_addopen(
        &actions, number, path("openssl.log"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe (["openssl"] + words).map {
      unsafe strdup($0)
    }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    let result = unsafe posix_spawnp(&id, "openssl", &actions, nil, arguments, weir_environment())
    try #require(result == 0, "openssl must be installed")
    var status: Int32 = 0
    while unsafe waitpid(id, &status, 0) < 0, weir_errno() == EINTR {}
    try #require(weir_wexitstatus(status) == 0, "openssl \(words)")
  }
}
