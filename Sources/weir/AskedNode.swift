import ArgumentParser
internal import Bytes
internal import CLinux
import Configuration
import FoundationEssentials
import Supervision
import TLS

/// Which running node a command asks.
struct NodeArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The node's configuration file, which says where it is asked (edge.conf unless --admin does).",
      valueName: "edge.conf"),
    completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp(
      "Where to ask it instead: http://HOST:PORT, https://HOST:PORT or unix:PATH.",
      discussion: "The token is then that of WEIR_TOKEN, or of --config.", valueName: "place"))
  var admin: AdminPlace?

  @Option(
    help: ArgumentHelp(
      "Whose certificates are believed (PEM).",
      discussion: """
        Else those of the system; of a node that a configuration names, the certificate that stands there.
        """, valueName: "file"),
    completion: .file())
  var ca: String?

  /// The way to ask the node; says why there is none.
  func client(patience: Int32 = 10_000) throws -> AdminClient {
    let configured = try configuredAdmin()
    let token = Self.environment("WEIR_TOKEN") ?? configured?.token
    if let admin {
      return AdminClient(
        place: admin, trust: .authorities(ca), token: token, patience: patience)
    }
    guard let configured else {
      throw Start.refusal(
        "the configuration has no admin listener: add admin 127.0.0.1:9090 { … }")
    }
    return try AdminClient(configured, token: token, authorities: ca, patience: patience)
  }

  /// What the configuration says of it. The file may be wrong just now, which is what one wants to hear from
  /// the node; so its `admin` block is enough.
  private func configuredAdmin() throws -> AdminConfiguration? {
    if admin != nil && config == nil { return nil }
    let path = config ?? "edge.conf"
    let loaded = ConfigurationFile.load(path: path)
    if let configuration = loaded.configuration { return configuration.admin }
    if let admin = ConfigurationFile.admin(path: path) { return admin }
    StandardError.write(Diagnostic.text(loaded.diagnostics.filter { $0.severity == .error }))
    throw ExitCode(ExitStatus.configuration)
  }

  /// What an environment variable says; nil if it is not there.
  static func environment(_ name: String) -> String? {
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
  }
}

extension AdminClient {
  /// The way to ask a node that has this `admin` block. `authorities` are those (PEM) that are believed; nil:
  /// the block's certificate itself, if it has one.
  init(
    _ admin: AdminConfiguration, token: String?, authorities: String? = nil, patience: Int32
  ) throws {
    self.init(
      place: AdminPlace(admin), trust: try Self.trust(in: admin, authorities), token: token,
      patience: patience)
  }

  private static func trust(
    in admin: AdminConfiguration, _ authorities: String?
  ) throws -> AdminTrust {
    guard authorities == nil, let certificate = admin.certificate else {
      return .authorities(authorities)
    }
    do throws(TLSLoadError) {
      return .certificate(try CertificateFiles.fingerprint(of: certificate.chain))
    } catch {
      throw Start.refusal("the admin's certificate: \(error)")
    }
  }
}

/// Which running node a command asks, and how it shows the answer.
struct AskedNode: ParsableArguments {
  @OptionGroup var node: NodeArguments

  @Flag(help: "Print what the node answers, which is JSON.")
  var json = false

  /// How long a node may take over a reload: names are looked up, keys are read. Milliseconds.
  private static let patience: Int32 = 60_000

  /// The node's answer, whatever it is.
  func answer(_ method: String, _ path: String, json: String? = nil) throws -> AdminClient.Answer {
    let client = try node.client(patience: Self.patience)
    do throws(AdminClient.Failure) {
      return try client.ask(method, path, json: json)
    } catch {
      throw Start.refusal(error.text)
    }
  }

  /// The content of the node's answer; says why there is none.
  func ask(_ method: String, _ path: String, json content: String? = nil) throws -> [UInt8] {
    let answer = try answer(method, path, json: content)
    guard (200..<300).contains(answer.status) else {
      if json { print(String(decoding: answer.content, as: UTF8.self)) }
      throw Self.refusal(answer)
    }
    return answer.content
  }

  /// Says why a node refuses.
  static func refusal(_ answer: AdminClient.Answer) -> ExitCode {
    let problem = try? JSONDecoder().decode(NodeProblem.self, from: Data(answer.content))
    StandardError.say(problem?.detail ?? "the node answers with status \(answer.status)")
    for diagnostic in problem?.diagnostics ?? [] { StandardError.write(diagnostic.text + "\n") }
    return ExitCode(1)
  }

  /// Decodes an answer, or prints it as it is and returns nil.
  func decoded<Value: Decodable>(_ type: Value.Type, _ content: [UInt8]) throws -> Value? {
    if json {
      print(String(decoding: content, as: UTF8.self))
      return nil
    }
    return try JSONDecoder().decode(type, from: Data(content))
  }

  /// A segment of a path, or a value of a query.
  static func segment(_ text: String) -> String {
    text.utf8.map { byte in
      let isPlain =
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte
        || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
        || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-._~".utf8.contains(byte)
      if isPlain { return String(UnicodeScalar(byte)) }
      return (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  /// A query of these parameters, those that are nil left out; with its question mark.
  static func query(_ parameters: [(name: String, value: String?)]) -> String {
    let pairs = parameters.compactMap { name, value in value.map { "\(name)=\(segment($0))" } }
    return pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
  }
}

private struct NodeProblem: Decodable {
  let detail: String
  let diagnostics: [ShownDiagnostic]?
}

/// A defect of a configuration, as the node tells it.
struct ShownDiagnostic: Decodable {
  let severity: String
  let file: String
  let line: Int
  let column: Int
  let message: String

  /// `file:line:column: error: …`
  var text: String {
    (line > 0 ? "\(file):\(line):\(column)" : file) + ": \(severity): \(message)"
  }
}
