package import Bytes
package import RegularExpressions

/// A pattern in targets, and what takes its place.
package struct Rewrite: Sendable {
  private let expression: RegularExpression
  private let replacement: [UInt8]

  /// Why a text is no rewriting.
  package struct Problem: Error, CustomStringConvertible {
    /// What is wrong, in words.
    package let description: String
  }

  /// Reads `|REGEX|REPLACEMENT|`, where any character may stand for the bars; `$1` in the replacement is what
  /// the first group matched, `$0` all that did.
  package init(_ text: String) throws(Problem) {
    guard let bar = text.first, text.count >= 3, text.last == bar else {
      throw Problem(description: "\(text) is not |REGEX|REPLACEMENT|")
    }
    let parts = text.dropFirst().dropLast().split(separator: bar, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else {
      throw Problem(description: "\(text) is not |REGEX|REPLACEMENT|")
    }
    do throws(RegularExpressionProblem) {
      expression = try RegularExpression(Array(parts[0].utf8))
    } catch {
      throw Problem(description: "\(parts[0]): \(error.message)")
    }
    replacement = Array(parts[1].utf8)
  }

  /// Appends the target with the first match replaced, or returns false if there is none.
  package func apply(
    _ target: ByteView, _ matcher: RegularExpressionMatcher, onto buffer: inout ByteBuffer
  ) -> Bool {
    guard matcher.match(expression, target) == .found, let whole = matcher.group(0, of: target)
    else { return false }
    let start = unsafe whole.baseAddress - target.baseAddress
    buffer.append(target[0..<start])
    var at = 0
    while at < replacement.count {
      if replacement[at] == 0x24, at + 1 < replacement.count, ASCII.isDigit(replacement[at + 1]) {
        let number = Int(replacement[at + 1] - 0x30)
        if number <= expression.groupCount, let group = matcher.group(number, of: target) {
          buffer.append(group)
        }
        at += 2
      } else {
        buffer.append(replacement[at])
        at += 1
      }
    }
    buffer.append(target.dropping(first: start + whole.count))
    return true
  }
}
