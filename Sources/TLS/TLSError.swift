// OpenSSL's errors. The queue belongs to the thread, and what an earlier call left in it would be taken
// for the cause of the next: so it is cleared before each call and drained after it, here only.

internal import COpenSSL

/// What is wrong with the files of a certificate, or with a setting.
package enum TLSLoadProblem: Equatable, Sendable {
  /// The file does not exist, or cannot be read; the text is the system's.
  case unreadable(String)
  /// The file is larger than any certificate or key (1 MiB).
  case tooLarge
  /// There is no certificate in the file, or one that cannot be read.
  case badCertificate
  /// There is no private key in the file, or one that cannot be read.
  case badKey
  /// The private key needs a password, which a node that starts by itself does not have.
  case encryptedKey
  /// The private key is not that of the first certificate of this file.
  case keyMismatch(certificate: String)
  /// The certificate is no longer valid; seconds since 1970.
  case expired(notAfter: Int64)
  /// The certificate is not valid yet; seconds since 1970.
  case notYetValid(notBefore: Int64)
  /// The certificate or its signature is too weak for OpenSSL's security level.
  case tooWeak
  /// The certificate has no DNS name or address, and none was given.
  case noNames
  /// The file is no OCSP response, or one that says no more than that there was an error.
  case badStaple
  /// OpenSSL does not know a name in this list of ciphers or groups.
  case badList(String)
  /// A setting that cannot be right; the text says why.
  case badSetting(StaticText)
  /// OpenSSL refused for a reason of its own.
  case refused(String)
}

/// A literal that can be compared.
package struct StaticText: Equatable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral
{
  /// The text.
  package let description: String
  /// The text of a literal.
  package init(stringLiteral value: StaticString) { description = value.description }
}

/// A file or setting that keeps a context from being made. Nothing that runs is touched by it.
package struct TLSLoadError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file, or the name of the setting.
  package var subject: String
  /// What is wrong with it.
  package var problem: TLSLoadProblem

  /// An error about a file or a setting.
  package init(_ subject: String, _ problem: TLSLoadProblem) {
    self.subject = subject
    self.problem = problem
  }

  /// One line for the operator.
  package var description: String { "\(subject): \(reason)" }

  /// The same without the file or setting.
  package var reason: String {
    switch problem {
    case .unreadable(let reason): reason
    case .tooLarge: "larger than 1 MiB"
    case .badCertificate: "no certificate that can be read"
    case .badKey: "no private key that can be read"
    case .encryptedKey: "the private key is encrypted; store it without a password"
    case .keyMismatch(let certificate): "not the private key of \(certificate)"
    case .expired(let end): "the certificate expired (\(end) seconds since 1970)"
    case .notYetValid(let start):
      "the certificate is not valid yet (\(start) seconds since 1970)"
    case .tooWeak: "the key or its signature is too weak"
    case .noNames: "the certificate names no host"
    case .badStaple: "no OCSP response that can be used"
    case .badList(let list): "OpenSSL knows no such list: \(list)"
    case .badSetting(let reason): reason.description
    case .refused(let reason): reason
    }
  }

  /// What to do about it; nil where that is plain.
  package var help: String? {
    switch problem {
    case .encryptedKey: "openssl pkey -in FILE -out NEW writes it without a password"
    case .keyMismatch: "a certificate and its key are made together"
    case .expired: "renew it"
    case .badStaple: "openssl ocsp -respout writes one"
    case .badCertificate, .badKey: "it must be PEM"
    default: nil
    }
  }
}

/// Why a connection failed. After any of these it can only be closed.
package struct TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
  /// What happened, as far as a node acts on it or counts it.
  package enum Reason: Equatable, Sendable {
    /// The connection ended without a close_notify: what was received may have been cut short.
    case truncated
    /// The kernel reported an error; its number.
    case socket(Int32)
    /// The peer sent a fatal alert; its number (RFC 8446 §6).
    case alert(UInt8)
    /// The two have no version of TLS in common.
    case version
    /// The two have no cipher, group or signature algorithm in common.
    case noCommonParameters
    /// The two have no application protocol in common (RFC 7301 §3.2).
    case noCommonProtocol
    /// The peer's certificate is missing.
    case certificateMissing
    /// The peer's certificate was refused; OpenSSL's verification code (X509_V_ERR_…).
    case certificateRefused(Int32)
    /// The peer does not speak TLS.
    case notTLS
    /// The peer broke the protocol in another way.
    case protocolError
  }

  /// What happened.
  package var reason: Reason
  /// OpenSSL's packed code, 0 if the error is not one of its own.
  package var code: UInt

  /// A failure.
  package init(_ reason: Reason, code: UInt = 0) {
    self.reason = reason
    self.code = code
  }

  /// Words for the log.
  package var description: String {
    switch reason {
    case .truncated: "the connection ended without a close_notify"
    case .socket(let number): "socket error \(number)"
    case .certificateRefused(let verification):
      unsafe "certificate refused: "
        + String(cString: X509_verify_cert_error_string(Int(verification)))
    default: code == 0 ? "\(reason)" : ErrorQueue.text(code)
    }
  }
}

/// The calling thread's queue of OpenSSL errors.
enum ErrorQueue {
  /// Forgets what is in the queue: mostly nothing, which to see costs less than to clear all its places.
  @inline(__always)
  static func clear() {
    if ERR_peek_error() != 0 { ERR_clear_error() }
  }

  /// Takes the first error, which is the cause of those after it, and empties the queue.
  static func drain() -> UInt {
    let code = ERR_get_error()
    ERR_clear_error()
    return code
  }

  /// Whether the error is OpenSSL's of that reason in libssl.
  static func isReason(_ code: UInt, _ reason: Int32) -> Bool {
    weir_err_reason(code) == UInt(reason) && weir_err_library(code) == UInt(ERR_LIB_SSL)
  }

  /// OpenSSL's words for a code.
  static func text(_ code: UInt) -> String {
    guard code != 0 else { return "unknown error" }
    let capacity = 256
    // The function writes at most `capacity` bytes, with the terminating zero.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
      guard let start = buffer.baseAddress else { return "unknown error" }
      unsafe ERR_error_string_n(code, start, capacity)
      return unsafe String(cString: start)
    }
  }
}
