// Regular expressions that cannot hold up a worker: PCRE2, compiled to machine code where it can be, and
// with a limit on the work of one match.
//
// PCRE2 counts steps anew for each place where a match could begin, so a limit alone leaves the work
// proportional to limit × length. Here the limit is a budget divided by the text's length: whatever the
// pattern and the text, a match ends after about a million steps (some milliseconds at the very worst;
// a usual pattern needs tens). A match that runs out of steps has no answer, and says so; what that
// means is the caller's choice.
//
// Text is bytes: no UTF mode, so no byte of a request can be invalid. `.` matches one byte.

package import Bytes
internal import CPCRE2

/// Why text is not a regular expression.
package struct RegularExpressionProblem: Error, Equatable {
  /// What PCRE2 says, in its words.
  package var message: String
  /// Where in the pattern, in bytes.
  package var offset: Int
}

/// What came of a match.
package enum RegularExpressionMatch: Equatable, Sendable {
  /// The pattern occurs in the text.
  case found
  /// It does not.
  case notFound
  /// It took more steps than a match may have.
  case exhausted
}

/// A compiled pattern. It never changes, and any number of threads may match with it.
@safe
package final class RegularExpression: @unchecked Sendable {
  // Sendable because PCRE2 only reads a compiled pattern; what a match writes is in RegularExpressionMatcher.
  fileprivate let code: OpaquePointer
  /// How many groups in parentheses can be captured.
  package let groupCount: Int

  /// The longest pattern, in bytes.
  package static let longest = 4_096

  /// Compiles a pattern.
  package init(_ pattern: [UInt8]) throws(RegularExpressionProblem) {
    guard pattern.count <= Self.longest else {
      throw RegularExpressionProblem(message: "it is longer than 4096 bytes", offset: 0)
    }
    var number: CInt = 0
    var offset = 0
    let options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C
    // Safe: the pattern is read within the call only, by its length.
    let compiled = unsafe pattern.withUnsafeBufferPointer { bytes in
      unsafe pcre2_compile_8(
        bytes.baseAddress ?? Self.nothing, bytes.count, options, &number, &offset, nil)
    }
    guard let compiled = unsafe compiled else {
      throw RegularExpressionProblem(message: Self.message(number), offset: offset)
    }
    // Where there is no JIT for this machine or pattern, matching interprets it.
    _ = unsafe pcre2_jit_compile_8(compiled, PCRE2_JIT_COMPLETE)
    var groups: UInt32 = 0
    _ = unsafe pcre2_pattern_info_8(compiled, UInt32(PCRE2_INFO_CAPTURECOUNT), &groups)
    unsafe code = compiled
    groupCount = Int(groups)
  }

  deinit { unsafe pcre2_code_free_8(code) }

  /// An address for an empty pattern, of which nothing is read.
  private static var nothing: UnsafePointer<UInt8> {
    unsafe UnsafePointer(bitPattern: 1).unsafelyUnwrapped
  }

  private static func message(_ number: CInt) -> String {
    var buffer = [UInt8](repeating: 0, count: 256)
    // Safe: at most the buffer's length is written.
    let count = unsafe buffer.withUnsafeMutableBufferPointer { bytes in
      unsafe pcre2_get_error_message_8(number, bytes.baseAddress, bytes.count)
    }
    return String(decoding: buffer.prefix(max(0, Int(count))), as: UTF8.self)
  }
}

/// What one thread needs to match: made once, used for every match.
@safe
package final class RegularExpressionMatcher {
  private let data: OpaquePointer
  private let context: OpaquePointer

  /// The steps of one match, over all places where it could begin.
  package static let budget = 1_000_000
  /// The groups that can be captured, the whole match included.
  package static let groups = 16

  /// A matcher.
  package init() {
    guard let data = unsafe pcre2_match_data_create_8(UInt32(Self.groups), nil),
      let context = unsafe pcre2_match_context_create_8(nil)
    else { preconditionFailure("out of memory") }
    unsafe self.data = data
    unsafe self.context = context
    _ = unsafe pcre2_set_heap_limit_8(context, 1_024)
  }

  deinit {
    unsafe pcre2_match_data_free_8(data)
    unsafe pcre2_match_context_free_8(context)
  }

  /// Looks for a pattern anywhere in a text.
  package func match(_ expression: RegularExpression, _ text: ByteView) -> RegularExpressionMatch {
    let limit = max(256, Self.budget / (text.count + 1))
    _ = unsafe pcre2_set_match_limit_8(context, UInt32(limit))
    let start = unsafe text.baseAddress.assumingMemoryBound(to: UInt8.self)
    // Safe: the text is read within the call only, by its length.
    let result = unsafe pcre2_match_8(expression.code, start, text.count, 0, 0, data, context)
    if result >= 0 { return .found }
    return result == PCRE2_ERROR_NOMATCH ? .notFound : .exhausted
  }

  /// What a group captured in the last match, which must have been found; nil if it took no part. The
  /// pattern must have such a group: of others the vector keeps what an earlier match has left.
  package func group(_ number: Int, of text: ByteView) -> ByteView? {
    guard number >= 0, number < Self.groups else { return nil }
    let ends = unsafe pcre2_get_ovector_pointer_8(data)
    guard let ends = unsafe ends else { return nil }
    // Safe: the vector has two entries for each of the groups that it was made for.
    let lower = unsafe ends[number * 2]
    let upper = unsafe ends[number * 2 + 1]
    // A group without a part has the largest number, which is -1 here.
    guard lower >= 0, lower <= upper, upper <= text.count else { return nil }
    return text[lower..<upper]
  }
}
