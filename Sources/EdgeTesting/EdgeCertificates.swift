// Certificates for tests, made by the openssl command once for each process that runs them.

internal import CLinux

/// See the top of this file.
package struct EdgeCertificates: Sendable {
  /// All of them, or why there are none.
  package static let shared = Result { try EdgeCertificates() }

  private let directory: TemporaryDirectory

  /// Who signed most of them (PEM), and somebody else.
  package var authority: String { directory.file("ca.pem") }
  package var otherAuthority: String { directory.file("other.pem") }

  /// A certificate and its key: `local` is for localhost and 127.0.0.1, `app` for app.example,
  /// `stranger` for localhost and 127.0.0.1 from the other authority, `client` of a client.
  package func files(_ name: String) -> (chain: String, key: String) {
    (directory.file("\(name).pem"), directory.file("\(name).key"))
  }

  private static let keys = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

  private init() throws {
    directory = try TemporaryDirectory()
    for name in ["ca", "other"] {
      try request(name, ["-subj", "/CN=\(name)", "-addext", "keyUsage=keyCertSign"])
    }
    try leaf("local", "DNS:localhost,IP:127.0.0.1")
    try leaf("app", "DNS:app.example")
    try leaf("stranger", "DNS:localhost,IP:127.0.0.1", authority: "other")
    try leaf("client", "DNS:node.example", subject: "/CN=node")
  }

  private func leaf(
    _ name: String, _ names: String, authority: String = "ca", subject: String = "/CN=leaf"
  ) throws {
    try request(
      name,
      [
        "-subj", subject, "-addext", "subjectAltName=\(names)", "-addext",
        "basicConstraints=critical,CA:FALSE", "-CA", directory.file("\(authority).pem"), "-CAkey",
        directory.file("\(authority).key"),
      ])
  }

  private func request(_ name: String, _ words: [String]) throws {
    try Self.run(
      ["openssl", "req", "-x509", "-nodes", "-days", "30"] + Self.keys
        + ["-keyout", directory.file("\(name).key"), "-out", directory.file("\(name).pem")] + words,
      output: directory.file("log"))
  }

  private static func run(_ words: [String], output: String) throws {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(
      &actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    guard unsafe posix_spawnp(&id, words[0], &actions, nil, arguments, weir_environment()) == 0
    else { throw PeerFailure(.system, "\(words[0]) must be installed") }
    var status: Int32 = 0
    while unsafe waitpid(id, &status, 0) < 0, weir_errno() == EINTR {}
    guard weir_wifexited(status) != 0, weir_wexitstatus(status) == 0 else {
      throw PeerFailure(.system, "\(words.joined(separator: " ")) failed")
    }
  }
}
