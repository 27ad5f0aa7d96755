// Passwords for Basic authentication: a file as `htpasswd` writes it, `user:hash`, a line for each user.
//
//     $2y$ $2b$   bcrypt, cost 5 to 15       htpasswd -B -C 12, mkpasswd -m bcrypt
//     $6$         SHA-512 crypt, up to a million rounds       mkpasswd -m sha512crypt
//
// All else is refused when the file is read: plain text, DES, MD5 in both its forms, SHA-1, and bcrypt's
// $2a$ and $2x$, which stand for a broken implementation.

package import Bytes

/// Users and their password hashes; any thread may look into it.
package final class PasswordFile: Sendable {
  /// A user's hash, as bytes; by the user's name, as bytes.
  private let users: [[UInt8]: String]
  /// A hash of the costliest kind in the file, that no password is known for: names that are not in
  /// the file are checked against it, so that they take as long as those that are.
  let decoy: String

  /// How many users there are.
  package var count: Int { users.count }

  /// A file without users.
  package convenience init() { self.init(users: [:]) }

  private init(users: [[UInt8]: String]) {
    self.users = users
    decoy =
      users.values.max { Self.cost($0) < Self.cost($1) }.map(Self.spoiled)
      ?? "$2b$10$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK"
  }

  /// The users of a file.
  package static func load(_ path: String) throws(CredentialDefect) -> PasswordFile {
    let content = try CredentialFile.read(path)
    return try read(content.view, file: path)
  }

  /// The users of a file's content; `file` is what a defect calls it.
  package static func read(
    _ content: ByteView, file: String
  ) throws(CredentialDefect) -> PasswordFile {
    var users: [[UInt8]: String] = [:]
    try CredentialFile.forEachLine(of: content, file: file) { line throws(LineDefect) in
      guard let colon = line.firstIndex(of: ASCII.colon), colon > 0 else {
        throw LineDefect("expected user:hash")
      }
      let name = line.prefix(colon).array
      guard users[name] == nil else { throw LineDefect("the user is there twice") }
      let hash = line.dropping(first: colon + 1)
      try PasswordHash.check(hash)
      users[name] = hash.string
    }
    return PasswordFile(users: users)
  }

  /// A user's hash.
  func hash(of user: [UInt8]) -> String? { users[user] }

  /// About how long a hash takes: the power of two of bcrypt's rounds.
  private static func cost(_ hash: String) -> Int {
    guard hash.hasPrefix("$2") else { return 8 }
    return Int(hash.dropFirst(4).prefix(2)) ?? 8
  }

  /// The same with other last letters: salt and cost stay as they are.
  private static func spoiled(_ hash: String) -> String {
    let text = String(hash.dropLast(4))
    return text + (hash.hasSuffix("abc.") ? "cba." : "abc.")
  }
}

/// The forms of password hashes that are accepted.
enum PasswordHash {
  static func check(_ hash: ByteView) throws(LineDefect) {
    if hash.starts(with: ByteView("$2y$")) || hash.starts(with: ByteView("$2b$")) {
      return try checkBcrypt(hash)
    }
    if hash.starts(with: ByteView("$6$")) { return try checkSHA512(hash) }
    throw LineDefect(
      "\(name(hash)) is not accepted: use bcrypt ($2y$, $2b$) or SHA-512 crypt ($6$)")
  }

  private static func name(_ hash: ByteView) -> String {
    if hash.starts(with: ByteView("$apr1$")) || hash.starts(with: ByteView("$1$")) { return "MD5" }
    if hash.starts(with: ByteView("{SHA}")) { return "SHA-1" }
    if hash.starts(with: ByteView("$2a$")) || hash.starts(with: ByteView("$2x$")) {
      return "this form of bcrypt"
    }
    if hash.count > 0, hash[0] == 0x24 { return "this kind of hash" }
    return hash.count == 13 ? "a DES hash or plain text" : "plain text"
  }

  /// `$2y$` cost `$` and 53 letters of salt and hash.
  private static func checkBcrypt(_ hash: ByteView) throws(LineDefect) {
    guard hash.count == 60, hash[6] == 0x24, ASCII.isDigit(hash[4]), ASCII.isDigit(hash[5]) else {
      throw LineDefect("malformed bcrypt hash")
    }
    let cost = Int(hash[4] &- 0x30) * 10 + Int(hash[5] &- 0x30)
    guard cost >= 5, cost <= 15 else { throw LineDefect("bcrypt's cost must be 5 to 15") }
    try checkLetters(hash.dropping(first: 7))
  }

  /// `$6$`, perhaps `rounds=N$`, salt, `$` and 86 letters.
  private static func checkSHA512(_ hash: ByteView) throws(LineDefect) {
    var rest = hash.dropping(first: 3)
    let prefix = ByteView("rounds=")
    if rest.starts(with: prefix) {
      rest = rest.dropping(first: prefix.count)
      guard let end = rest.firstIndex(of: 0x24), end <= 7,
        let rounds = JSONNumber.integer(rest.prefix(end)), rounds >= 1_000, rounds <= 1_000_000
      else { throw LineDefect("SHA-512 crypt must have 1000 to 1000000 rounds") }
      rest = rest.dropping(first: end + 1)
    }
    guard let end = rest.firstIndex(of: 0x24), end <= 16, rest.count - end - 1 == 86 else {
      throw LineDefect("malformed SHA-512 crypt hash")
    }
    try checkLetters(rest.prefix(end))
    try checkLetters(rest.dropping(first: end + 1))
  }

  private static func checkLetters(_ text: ByteView) throws(LineDefect) {
    for index in 0..<text.count {
      switch text[index] {
      case 0x2E, 0x2F, 0x30...0x39, 0x41...0x5A, 0x61...0x7A: continue
      default: throw LineDefect("malformed hash")
      }
    }
  }
}
