internal import Bytes

/// Whom requests are signed for. No text shows the secret.
package struct SigningCredentials: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  /// The name of the key, which goes along with each request.
  package let accessKey: String
  /// What signatures are made with, which never does.
  package let secretKey: String
  /// What goes along besides if the key is a temporary one.
  package let sessionToken: String?

  /// Credentials; nil if one of the parts is empty or cannot stand in a field.
  package init?(accessKey: String, secretKey: String, sessionToken: String? = nil) {
    guard Self.isName(accessKey), Self.isVisible(secretKey),
      sessionToken.map(Self.isVisible) != false
    else { return nil }
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.sessionToken = sessionToken
  }

  /// Not the secret.
  package var description: String { accessKey }
  /// Nothing of it.
  package var customMirror: Mirror { Mirror(self, children: ["accessKey": accessKey]) }

  /// Whether a text can be a key's name: it stands between a `=` and a `/` (`Credential=NAME/20260101/…`).
  package static func isName(_ text: String) -> Bool {
    isVisible(text) && !text.utf8.contains { $0 == ASCII.slash || $0 == ASCII.comma }
  }

  /// Whether a text has 1 to 4,096 bytes, all of them visible ones.
  package static func isVisible(_ text: String) -> Bool {
    (1...4_096).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
  }
}

/// Why a file of credentials is not accepted.
package struct SigningCredentialsDefect: Error, Equatable {
  /// The line, from 1; 0 for the whole file.
  package let line: Int
  /// What is wrong. It says nothing of what the file has.
  package let text: String

  /// A defect.
  package init(line: Int, text: String) {
    self.line = line
    self.text = text
  }
}

// The file that the tools of the trade share: sections in brackets, in each `name = value`.
extension SigningCredentials {
  /// The credentials of a section of a file; names that mean nothing here are passed over.
  package static func parse(
    _ content: String, profile: String
  ) throws(SigningCredentialsDefect) -> SigningCredentials {
    var values: [String: String] = [:]
    var isInside = false
    var hasSection = false
    let lines = content.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    for (index, whole) in lines.enumerated() {
      let line = trimmed(whole)
      guard let first = line.first, first != "#", first != ";" else { continue }
      if first == "[" {
        guard line.last == "]" else {
          throw SigningCredentialsDefect(line: index + 1, text: "the section has no \"]\"")
        }
        isInside = trimmed(line.dropFirst().dropLast()) == profile
        hasSection = hasSection || isInside
      } else if isInside {
        guard let mark = line.firstIndex(of: "=") else {
          throw SigningCredentialsDefect(line: index + 1, text: "expected NAME = VALUE")
        }
        values[String(trimmed(line[..<mark]))] = String(trimmed(line[line.index(after: mark)...]))
      }
    }
    guard hasSection else {
      throw SigningCredentialsDefect(line: 0, text: "there is no section [\(profile)]")
    }
    return try of(values, profile: profile)
  }

  private static func of(
    _ values: [String: String], profile: String
  ) throws(SigningCredentialsDefect) -> SigningCredentials {
    for name in ["aws_access_key_id", "aws_secret_access_key"] where values[name] == nil {
      throw SigningCredentialsDefect(line: 0, text: "[\(profile)] has no \(name)")
    }
    guard
      let credentials = SigningCredentials(
        accessKey: values["aws_access_key_id"] ?? "",
        secretKey: values["aws_secret_access_key"] ?? "",
        sessionToken: values["aws_session_token"])
    else {
      throw SigningCredentialsDefect(
        line: 0, text: "a value of [\(profile)] is empty, or has characters that no key has")
    }
    return credentials
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop { $0.isWhitespace }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
