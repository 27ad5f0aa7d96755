// The file of the admin's tokens: one on a line, as four words.
//
//     # name    verbs        sites                       hash
//     deploy    purge,read   example.com,*.example.net   sha256:9f86d081…
//     ops       *            *                           sha256:60303ae2…
//
// Only hashes stand there, so that who reads the file can ask for nothing. A plain hash will do, without
// salt and rounds: tokens are 256 random bits (`weir token`), and nobody tries those one by one.

internal import Bytes
internal import Cryptography

/// What a token may be used for.
public enum AdminVerb: String, Sendable, CaseIterable {
  /// Status, figures, purges, objects, misses.
  case read
  /// Purges.
  case purge
  /// Fetching ahead of clients.
  case warm
  /// Limits, and the keys that they count.
  case readLimits = "limits.read"
  /// Changing limits, forgiving keys.
  case changeLimits = "limits.write"
  /// Draining, disabling and weighing servers.
  case origins
  /// Draining the node, maintenance, serving from the store alone.
  case switches
  /// The configuration.
  case config
}

/// A token of the admin listener.
public struct AdminToken: Sendable, Equatable {
  /// Who has it: what the audit log says.
  public var name: String
  /// What it may be used for.
  public var verbs: Set<AdminVerb>
  /// The sites that it is kept to, each by one of its hosts; empty: all, and what is no site's.
  public var sites: [String]
  /// The SHA-256 of the token.
  public var digest: [UInt8]

  /// A token.
  public init(name: String, verbs: Set<AdminVerb>, sites: [String], digest: [UInt8]) {
    self.name = name
    self.verbs = verbs
    self.sites = sites
    self.digest = digest
  }
}

/// Reads and writes the file of tokens.
public enum AdminTokenFile {
  /// The most tokens of a file.
  public static let limit = 1_024
  /// The most bytes of a file.
  public static let sizeLimit = 1 << 20

  /// A line that cannot be used.
  public struct Defect: Error, Sendable, Equatable {
    /// From 1.
    public let line: Int
    /// What is wrong.
    public let text: String
  }

  /// The tokens of a text; throws at the first line that is wrong.
  public static func parse(_ bytes: [UInt8]) throws(Defect) -> [AdminToken] {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Defect(line: 1, text: "the file is not text")
    }
    var tokens: [AdminToken] = []
    var line = 0
    for content in text.split(separator: "\n", omittingEmptySubsequences: false) {
      line += 1
      let words = content.split { $0 == " " || $0 == "\t" || $0 == "\r" }
      if words.isEmpty || words[0].hasPrefix("#") { continue }
      do throws(Fault) {
        let token = try token(words.map { String($0) })
        guard !tokens.contains(where: { $0.name == token.name }) else {
          throw Fault(text: "the name \(token.name) stands there twice")
        }
        guard tokens.count < limit else { throw Fault(text: "there are more than \(limit) tokens") }
        tokens.append(token)
      } catch {
        throw Defect(line: line, text: error.text)
      }
    }
    return tokens
  }

  private struct Fault: Error { let text: String }

  private static func token(_ words: [String]) throws(Fault) -> AdminToken {
    guard words.count == 4 else {
      throw Fault(text: "a line has a name, verbs, sites and sha256:HASH")
    }
    guard isName(words[0]) else {
      throw Fault(text: "a name has up to 64 letters, digits and . _ - @")
    }
    var verbs: Set<AdminVerb> = []
    for word in words[1].split(separator: ",") {
      if word == "*" {
        verbs.formUnion(AdminVerb.allCases)
      } else if let verb = AdminVerb(rawValue: String(word)) {
        verbs.insert(verb)
      } else {
        let known = AdminVerb.allCases.map(\.rawValue).joined(separator: ", ")
        throw Fault(text: "there is no verb \(word.prefix(40)): there are \(known) and *")
      }
    }
    guard !verbs.isEmpty else { throw Fault(text: "a token needs a verb") }
    let sites = words[2] == "*" ? [] : words[2].split(separator: ",").map { $0.lowercased() }
    guard words[2] == "*" || !sites.isEmpty else { throw Fault(text: "a token needs a site, or *") }
    guard words[3].hasPrefix("sha256:"), let digest = digest(words[3].dropFirst(7)) else {
      throw Fault(text: "the hash is sha256: and 64 hexadecimal digits; weir token makes one")
    }
    return AdminToken(name: words[0], verbs: verbs, sites: sites, digest: digest)
  }

  /// Whether a text can be a token's name.
  public static func isName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        let letter = byte | 0x20
        return 0x61...0x7A ~= letter || ASCII.isDigit(byte) || "._-@".utf8.contains(byte)
      }
  }

  private static func digest(_ text: Substring) -> [UInt8]? {
    let digits = text.utf8.compactMap { ASCII.hexValue($0) }
    guard digits.count == 64, text.utf8.count == 64 else { return nil }
    return stride(from: 0, to: 64, by: 2).map { UInt8(digits[$0]) << 4 | UInt8(digits[$0 + 1]) }
  }

  /// The SHA-256 of a token; nil if OpenSSL cannot.
  public static func digest(of token: [UInt8]) -> [UInt8]? {
    do throws(OpenSSLError) {
      let context = try DigestContext.make(.sha256)
      let digest: Result<Digest256, OpenSSLError> = token.withView { view in
        do throws(OpenSSLError) { return .success(try context.digest256(view)) } catch {
          return .failure(error)
        }
      }
      return try digest.get().array
    } catch {
      return nil
    }
  }

  /// A new token: 43 characters, of 256 random bits; nil if there is no randomness.
  public static func makeToken() -> String? {
    do throws(OpenSSLError) {
      return Base64URL.encode(try SecureRandom.bytes(32))
    } catch {
      return nil
    }
  }

  /// The line of a token, without its end.
  public static func line(_ token: AdminToken) -> String {
    let verbs =
      token.verbs.count == AdminVerb.allCases.count
      ? "*" : token.verbs.map(\.rawValue).sorted().joined(separator: ",")
    let sites = token.sites.isEmpty ? "*" : token.sites.joined(separator: ",")
    let hash = token.digest.map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
    return "\(token.name)\t\(verbs)\t\(sites)\tsha256:\(hash)"
  }
}

extension AdminTokenFile {
  /// The tokens of a file; throws what is wrong with it, for an operator.
  public static func read(_ path: String) throws(Defect) -> [AdminToken] {
    switch FileContents.read(path, most: sizeLimit, onlyRegular: true) {
    case .success(let contents): return try parse(contents.bytes)
    case .failure(let problem): throw Defect(line: 0, text: problem.described)
    }
  }
}
