import ArgumentParser
import Authentication
import CLinux
import Cryptography
import EventLoop
import Supervision

/// The wall clock, for commands.
enum Time {
  /// Seconds since 1970.
  static var seconds: Int64 { NodeClock().now().wall / 1000 }
}

/// `weir sign`.
struct SignCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sign",
    abstract: "Sign a URL's path, for a route with `auth signed_url`.",
    usage: "weir sign </path?query> --keys <file> [<options>]",
    discussion: """
      Prints the path and query with the signature. The first key of the file signs; all of them are \
      accepted, so that a new key goes in front and the old one goes when its URLs have expired.

      Exit status: 64 if the path cannot be signed, 69 if the keys cannot be read.
      """)

  @Argument(help: ArgumentHelp("The path, with its query.", valueName: "/path?query"))
  var target: String

  @Option(help: ArgumentHelp("The file of keys (`weir key url NAME`).", valueName: "file"))
  var keys: String

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp("How long it is good, in seconds.", valueName: "seconds"))
  var lifetime: Int64 = 3_600

  @Option(help: ArgumentHelp("Until when it is good, since 1970.", valueName: "seconds"))
  var expires: Int64?

  @Option(
    help: ArgumentHelp(
      "Sign only this part of the path: all below it is let in.", valueName: "/path/"))
  var prefix: String?

  @Option(help: ArgumentHelp("The only client that may use it.", valueName: "address"))
  var client: String?

  func run() throws {
    var address: SignedAddress?
    if let client {
      guard let parsed = SocketAddress(host: client, port: 0) else {
        throw ValidationError("\(client) is not an address")
      }
      address = SignedAddress(high: parsed.high, low: parsed.low)
    }
    if let prefix, !target.hasPrefix(prefix) {
      throw ValidationError("\(target) does not begin with \(prefix)")
    }
    let signer: URLSigner
    do {
      signer = try URLSigner(try URLKey.load(keys))
    } catch {
      throw Start.refusal("\(error)")
    }
    let grant = URLGrant(
      expires: expires ?? Time.seconds &+ max(0, min(lifetime, 1 << 40)),
      prefix: prefix?.utf8.count, address: address)
    do throws(URLSigningError) {
      print(try signer.sign(target, grant))
    } catch {
      throw ValidationError(error.explained)
    }
  }
}

extension URLSigningError {
  fileprivate var explained: String {
    switch self {
    case .badTarget: "the path must begin with / and have no spaces and no fragment"
    case .signedAlready: "the path has a signature already"
    case .badPrefix: "the prefix must end with a slash of the path"
    case .badExpiry: "the end lies before 1970 or after 9999"
    case .openSSL(let error): "\(error)"
    }
  }
}

/// `weir key`.
struct KeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key",
    abstract: "Make a key: its line for a file, and for API keys the key itself.",
    discussion: """
      `weir key api NAME` prints the key, which is shown this once, and the line for the file of \
      `auth api_keys`, which has only its hash. `weir key url NAME` prints the line for the file of \
      `auth signed_url`, which is the secret.
      """)

  /// What kinds of keys there are.
  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case api
    case url
  }

  @Argument(help: "What it is for: api or url.")
  var kind: Kind

  @Argument(help: "Its name.")
  var name: String

  @Option(
    help: ArgumentHelp(
      "For rules, as jwt.claim.NAME.", valueName: "name=value,…"))
  var attributes = ""

  func run() throws {
    switch kind {
    case .api:
      guard let made = try APIKeyLine.make(name: name, attributes: attributes) else {
        throw ValidationError("a name has letters, digits and . - _ @; attributes are name=value,…")
      }
      print("key   \(made.key)\nline  \(made.line)")
    case .url:
      guard let line = try URLKey.makeLine(id: name) else {
        throw ValidationError("a name has letters, digits and . - _")
      }
      print(line)
    }
  }
}
