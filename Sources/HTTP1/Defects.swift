// What can be wrong with a head. After any of these the connection has to be closed: where the next
// message begins is not known, or not agreed on.

/// How large a head may be.
package struct HeadLimits: Sendable {
  /// The longest request line in bytes, without its CR LF; a longer one is answered with 414.
  package var maxRequestLine: Int
  /// The longest head in bytes: request or status line, fields and the empty line; beyond it 431.
  package var maxHead: Int
  /// The most field lines; beyond it 431.
  package var maxFields: Int

  /// Limits. Each must be positive; no head is longer than 1 GiB or has more than 16,384 lines,
  /// whatever these say.
  package init(maxRequestLine: Int = 8_192, maxHead: Int = 32_768, maxFields: Int = 100) {
    precondition(maxRequestLine > 0 && maxHead > 0 && maxFields > 0, "limits must be positive")
    self.maxRequestLine = min(maxRequestLine, 1 << 30)
    self.maxHead = min(maxHead, 1 << 30)
    self.maxFields = min(maxFields, 16_384)
  }
}

/// What is wrong with a request's head.
package enum RequestDefect: UInt8, Error, CaseIterable, Sendable {
  /// The request line is not `method SP target SP version CR LF` (RFC 9112 §3).
  case badRequestLine
  /// More empty lines before the request line than a client could send by mistake (RFC 9112 §2.2).
  case tooManyEmptyLines
  /// The method is not a token (RFC 9110 §9.1).
  case badMethod
  /// The method is longer than any that is known (RFC 9112 §3).
  case methodTooLong
  /// The request line is over the limit (RFC 9112 §3).
  case requestLineTooLong
  /// The target has a byte that no URI has, or a fragment (RFC 9112 §3.2).
  case badTarget
  /// The target has none of the four forms, or one that its method must not have (RFC 9112 §3.2).
  case badTargetForm
  /// The version is not `HTTP/` and two digits with a dot between (RFC 9112 §2.3).
  case badVersion
  /// Another major version than 1 (RFC 9110 §15.6.6).
  case unsupportedVersion
  /// CR without LF in the head (RFC 9112 §2.2).
  case bareCarriageReturn
  /// LF without CR in the head; RFC 9112 §2.2 lets a recipient accept it, and two that differ in
  /// whether they do can be played against each other.
  case bareLineFeed
  /// A field line that begins with whitespace (RFC 9112 §2.2 and §5.2).
  case foldedLine
  /// Whitespace between a field's name and its colon (RFC 9112 §5.1).
  case whitespaceBeforeColon
  /// A field line without a name.
  case emptyFieldName
  /// A field name that is not a token, or a line without a colon (RFC 9110 §5.1).
  case badFieldName
  /// A control byte in a field value (RFC 9110 §5.5).
  case badFieldValue
  /// More field lines than the limit (RFC 6585 §5).
  case tooManyFields
  /// The head is over the limit (RFC 6585 §5).
  case headTooLarge
  /// No `Host` in HTTP/1.1 (RFC 9112 §3.2).
  case missingHost
  /// More than one `Host` (RFC 9112 §3.2).
  case repeatedHost
  /// `Host`, or the target's authority, is not a host with or without a port (RFC 9112 §3.2).
  case badHost
  /// The target names another authority than `Host` (RFC 9112 §3.2.2).
  case hostMismatch
  /// Both `Transfer-Encoding` and `Content-Length` (RFC 9112 §6.3).
  case lengthWithTransferEncoding
  /// More than one `Content-Length`, equal or not (RFC 9110 §8.6).
  case repeatedContentLength
  /// `Content-Length` is not a decimal number below 2⁶³ (RFC 9110 §8.6).
  case badContentLength
  /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112 §6.1).
  case transferEncodingInOldVersion
  /// `chunked` is not the last transfer coding, or is there twice (RFC 9112 §6.3).
  case badTransferEncoding
  /// A transfer coding besides `chunked` (RFC 9112 §6.1).
  case unsupportedTransferCoding
  /// `Expect` says something else than `100-continue`, or more than once (RFC 9110 §10.1.1).
  case unknownExpectation

  /// The status code of the answer.
  package var status: UInt16 {
    switch self {
    case .methodTooLong, .unsupportedTransferCoding: 501
    case .requestLineTooLong: 414
    case .unsupportedVersion: 505
    case .tooManyFields, .headTooLarge: 431
    case .unknownExpectation: 417
    default: 400
    }
  }

  /// What is wrong, in a few words for the log and for the answer's content.
  package var text: StaticString {
    switch self {
    case .badRequestLine: "malformed request line"
    case .tooManyEmptyLines: "too many empty lines before the request"
    case .badMethod: "malformed method"
    case .methodTooLong: "method too long"
    case .requestLineTooLong: "request line too long"
    case .badTarget: "invalid byte in the request target"
    case .badTargetForm: "request target does not fit the method"
    case .badVersion: "malformed HTTP version"
    case .unsupportedVersion: "HTTP version not supported"
    case .bareCarriageReturn: "CR without LF"
    case .bareLineFeed: "LF without CR"
    case .foldedLine: "field line begins with whitespace"
    case .whitespaceBeforeColon: "whitespace before a colon"
    case .emptyFieldName: "empty field name"
    case .badFieldName: "malformed field name"
    case .badFieldValue: "control byte in a field value"
    case .tooManyFields: "too many fields"
    case .headTooLarge: "header section too large"
    case .missingHost: "no Host field"
    case .repeatedHost: "more than one Host field"
    case .badHost: "malformed host"
    case .hostMismatch: "Host differs from the request target"
    case .lengthWithTransferEncoding: "both Transfer-Encoding and Content-Length"
    case .repeatedContentLength: "more than one Content-Length"
    case .badContentLength: "malformed Content-Length"
    case .transferEncodingInOldVersion: "Transfer-Encoding in HTTP/1.0"
    case .badTransferEncoding: "chunked is not the last transfer coding"
    case .unsupportedTransferCoding: "unknown transfer coding"
    case .unknownExpectation: "unknown expectation"
    }
  }
}

/// What is wrong with a response's head; the request is then answered with 502.
package enum ResponseDefect: UInt8, Error, CaseIterable, Sendable {
  /// The status line is not `version SP status [SP reason] CR LF` (RFC 9112 §4).
  case badStatusLine
  /// Another major version than 1.
  case unsupportedVersion
  /// The status code is below 100 or above 599 (RFC 9110 §15).
  case badStatus
  /// CR without LF in the head.
  case bareCarriageReturn
  /// LF without CR in the head.
  case bareLineFeed
  /// A field line that begins with whitespace; RFC 9112 §5.2 would also let us join it.
  case foldedLine
  /// Whitespace between a field's name and its colon; RFC 9112 §5.1 would also let us remove it.
  case whitespaceBeforeColon
  /// A field line without a name.
  case emptyFieldName
  /// A field name that is not a token, or a line without a colon.
  case badFieldName
  /// A control byte in a field value or in the reason phrase.
  case badFieldValue
  /// More field lines than the limit.
  case tooManyFields
  /// The head is over the limit.
  case headTooLarge
  /// Both `Transfer-Encoding` and `Content-Length`.
  case lengthWithTransferEncoding
  /// More than one `Content-Length`, equal or not.
  case repeatedContentLength
  /// `Content-Length` is not a decimal number below 2⁶³.
  case badContentLength
  /// `Transfer-Encoding` in HTTP/1.0.
  case transferEncodingInOldVersion
  /// `chunked` is not the last transfer coding, or is there twice.
  case badTransferEncoding
  /// A transfer coding besides `chunked`, which was never asked for (RFC 9110 §10.1.4).
  case unsupportedTransferCoding

  /// What is wrong, in a few words for the log.
  package var text: StaticString {
    switch self {
    case .badStatusLine: "malformed status line"
    case .unsupportedVersion: "HTTP version not supported"
    case .badStatus: "status code out of range"
    case .bareCarriageReturn: "CR without LF"
    case .bareLineFeed: "LF without CR"
    case .foldedLine: "field line begins with whitespace"
    case .whitespaceBeforeColon: "whitespace before a colon"
    case .emptyFieldName: "empty field name"
    case .badFieldName: "malformed field name"
    case .badFieldValue: "control byte in a field value"
    case .tooManyFields: "too many fields"
    case .headTooLarge: "header section too large"
    case .lengthWithTransferEncoding: "both Transfer-Encoding and Content-Length"
    case .repeatedContentLength: "more than one Content-Length"
    case .badContentLength: "malformed Content-Length"
    case .transferEncodingInOldVersion: "Transfer-Encoding in HTTP/1.0"
    case .badTransferEncoding: "chunked is not the last transfer coding"
    case .unsupportedTransferCoding: "unknown transfer coding"
    }
  }
}

/// What can be wrong with either kind of head; becomes the case of the same name.
enum HeadDefect: Error {
  case bareCarriageReturn, bareLineFeed, foldedLine, whitespaceBeforeColon, emptyFieldName
  case badFieldName, badFieldValue, tooManyFields, headTooLarge
  case lengthWithTransferEncoding, repeatedContentLength, badContentLength
  case transferEncodingInOldVersion, badTransferEncoding, unsupportedTransferCoding
}

extension RequestDefect {
  init(_ defect: HeadDefect) {
    switch defect {
    case .bareCarriageReturn: self = .bareCarriageReturn
    case .bareLineFeed: self = .bareLineFeed
    case .foldedLine: self = .foldedLine
    case .whitespaceBeforeColon: self = .whitespaceBeforeColon
    case .emptyFieldName: self = .emptyFieldName
    case .badFieldName: self = .badFieldName
    case .badFieldValue: self = .badFieldValue
    case .tooManyFields: self = .tooManyFields
    case .headTooLarge: self = .headTooLarge
    case .lengthWithTransferEncoding: self = .lengthWithTransferEncoding
    case .repeatedContentLength: self = .repeatedContentLength
    case .badContentLength: self = .badContentLength
    case .transferEncodingInOldVersion: self = .transferEncodingInOldVersion
    case .badTransferEncoding: self = .badTransferEncoding
    case .unsupportedTransferCoding: self = .unsupportedTransferCoding
    }
  }
}

extension ResponseDefect {
  init(_ defect: HeadDefect) {
    switch defect {
    case .bareCarriageReturn: self = .bareCarriageReturn
    case .bareLineFeed: self = .bareLineFeed
    case .foldedLine: self = .foldedLine
    case .whitespaceBeforeColon: self = .whitespaceBeforeColon
    case .emptyFieldName: self = .emptyFieldName
    case .badFieldName: self = .badFieldName
    case .badFieldValue: self = .badFieldValue
    case .tooManyFields: self = .tooManyFields
    case .headTooLarge: self = .headTooLarge
    case .lengthWithTransferEncoding: self = .lengthWithTransferEncoding
    case .repeatedContentLength: self = .repeatedContentLength
    case .badContentLength: self = .badContentLength
    case .transferEncodingInOldVersion: self = .transferEncodingInOldVersion
    case .badTransferEncoding: self = .badTransferEncoding
    case .unsupportedTransferCoding: self = .unsupportedTransferCoding
    }
  }
}
