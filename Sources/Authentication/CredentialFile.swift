internal import Bytes
internal import EventLoop

/// A line of a file of credentials that is not accepted, so that nothing of the file is.
package struct CredentialDefect: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file's name, as it was given.
  package let file: String
  /// The line's number, from 1; 0 for the whole file.
  package let line: Int
  /// What is wrong.
  package let text: String

  /// A defect.
  package init(file: String, line: Int, text: String) {
    self.file = file
    self.line = line
    self.text = text
  }

  /// `file:line: text`.
  package var description: String { line > 0 ? "\(file):\(line): \(text)" : "\(file): \(text)" }
}

/// Reads files of one credential a line. Empty lines and those that begin with `#` are skipped.
enum CredentialFile {
  /// Calls `body` with each line and its number; a reason that it throws becomes the defect.
  static func forEachLine(
    of content: ByteView, file: String, _ body: (ByteView) throws(LineDefect) -> Void
  ) throws(CredentialDefect) {
    var rest = content
    var number = 0
    while !rest.isEmpty {
      let end = rest.firstIndex(of: ASCII.lf) ?? rest.count
      var line = rest.prefix(end)
      rest = rest.dropping(first: end + 1)
      number += 1
      if line.count > 0, line[line.count - 1] == ASCII.cr { line = line.prefix(line.count - 1) }
      if line.isEmpty || line[0] == 0x23 { continue }
      do throws(LineDefect) {
        guard line.count <= 4_096 else { throw LineDefect("the line is longer than 4096 bytes") }
        guard line.isUTF8, !hasControl(line) else {
          throw LineDefect("the line has a control character, or is not UTF-8")
        }
        try body(line)
      } catch {
        throw CredentialDefect(file: file, line: number, text: error.text)
      }
    }
  }

  /// The content of a file, as a buffer.
  static func read(_ path: String) throws(CredentialDefect) -> ByteBuffer {
    do throws(Errno) {
      let content = try SmallFile.read(path, maxBytes: 256 << 20)
      var buffer = ByteBuffer(capacity: content.count)
      content.withView { buffer.append($0) }
      return buffer
    } catch {
      throw CredentialDefect(file: path, line: 0, text: "\(error)")
    }
  }

  private static func hasControl(_ line: ByteView) -> Bool {
    for index in 0..<line.count where line[index] < 0x20 || line[index] == 0x7F { return true }
    return false
  }
}

/// Why a line is not accepted.
struct LineDefect: Error {
  let text: String
  init(_ text: String) { self.text = text }
}
