import Bytes
import RequestSigning

/// What the published figures were made with.
enum Signing {
  /// 2015-08-30 12:36:00 UTC, in ms.
  static let suiteTime: Int64 = 1_440_938_160_000
  /// 2013-05-24 00:00:00 UTC, in ms.
  static let exampleTime: Int64 = 1_369_353_600_000
  static let suite = credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
  static let example = credentials(
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

  private static func credentials(_ name: String, _ secret: String) -> SigningCredentials? {
    SigningCredentials(accessKey: name, secretKey: secret)
  }
}

extension RequestSigner {
  /// A head, given line by line, as it is sent.
  func signed(
    _ lines: String, at time: Int64, for credentials: SigningCredentials?,
    content: SignedContent = .none
  ) throws -> String {
    guard let credentials else { throw SigningCredentialsDefect(line: 0, text: "no credentials") }
    var head = ByteBuffer()
    head.append(text: lines.replacing("\n", with: "\r\n") + "\r\n\r\n")
    var output = ByteBuffer()
    try sign(head.view, content: content, at: time, for: credentials, to: &output)
    return output.view.string
  }
}
