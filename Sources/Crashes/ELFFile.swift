// As much of an executable's file as names functions: its build id and its table of symbols (System V ABI,
// 64 bits, little-endian). Read with checks: what does not fit gives nothing.

internal import CLinux
internal import EventLoop

/// What tells one build from another.
package enum BuildID {
  /// That of this process's executable, in hexadecimal digits; nil if it has none.
  package static var own: String? { ELFFile(path: "/proc/self/exe")?.buildID }
}

/// An executable's file.
final class ELFFile {
  private struct Section {
    var name: UInt32
    var kind: UInt32
    var offset: UInt64
    var size: UInt64
    var link: UInt32
  }

  private let file: Descriptor
  private let sections: [Section]
  private let names: [UInt8]

  /// More than this of one section is not read.
  private static let largestSection: UInt64 = 256 << 20

  /// Opens a file; nil if it is none of these.
  init?(path: String) {
    let number = unsafe weir_open(path, O_RDONLY | O_CLOEXEC, 0)
    guard number >= 0 else { return nil }
    let file = Descriptor(owning: number)
    guard let head = Self.read(file, 0, 64), head.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1])
    else { return nil }
    let start = Self.number(head, 40, 8)
    let (size, count) = (Self.number(head, 58, 2), Self.number(head, 60, 2))
    let namesIndex = Int(Self.number(head, 62, 2))
    guard size == 64, count > 0, let table = Self.read(file, start, size * count) else {
      return nil
    }
    let sections = (0..<Int(count)).map { index in
      Section(
        name: UInt32(Self.number(table, index * 64, 4)),
        kind: UInt32(Self.number(table, index * 64 + 4, 4)),
        offset: Self.number(table, index * 64 + 24, 8),
        size: Self.number(table, index * 64 + 32, 8),
        link: UInt32(Self.number(table, index * 64 + 40, 4)))
    }
    guard sections.indices.contains(namesIndex),
      let names = Self.content(of: sections[namesIndex], file)
    else { return nil }
    self.sections = sections
    self.names = names
    self.file = file
  }

  /// The build id, in hexadecimal digits; nil if there is none.
  var buildID: String? {
    for section in sections where section.kind == 7 {
      guard Self.name(names, Int(section.name)) == ".note.gnu.build-id",
        let note = content(of: section), note.count >= 16
      else { continue }
      let nameLength = Int(Self.number(note, 0, 4))
      let length = Int(Self.number(note, 4, 4))
      let begin = 12 + (nameLength + 3) / 4 * 4
      guard begin <= note.count, length <= note.count - begin else { return nil }
      return note[begin..<begin + length].map {
        ($0 < 16 ? "0" : "") + String($0, radix: 16)
      }.joined()
    }
    return nil
  }

  /// The names of the functions in which these offsets from the file's beginning in memory lie, by offset.
  func functions(at offsets: Set<UInt64>) -> [UInt64: String] {
    guard
      let table = sections.first(where: { $0.kind == 2 })
        ?? sections.first(where: { $0.kind == 11 }),
      let symbols = content(of: table), sections.indices.contains(Int(table.link)),
      let texts = content(of: sections[Int(table.link)])
    else { return [:] }
    var found: [UInt64: String] = [:]
    for index in 0..<symbols.count / 24 {
      let place = index * 24
      // Functions only.
      guard symbols[place + 4] & 0xF == 2 else { continue }
      let value = Self.number(symbols, place + 8, 8)
      let size = Self.number(symbols, place + 16, 8)
      for offset in offsets where offset >= value && offset - value < max(size, 1) {
        let name = Self.name(texts, Int(Self.number(symbols, place, 4)))
        found[offset] = "\(Self.demangled(name))+\(offset - value)"
      }
    }
    return found
  }

  private static func demangled(_ name: String) -> String {
    guard name.hasPrefix("$s") || name.hasPrefix("$S"),
      let text = unsafe swift_demangle(name, name.utf8.count, nil, nil, 0)
    else { return name }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }

  private func content(of section: Section) -> [UInt8]? { Self.content(of: section, file) }

  private static func content(of section: Section, _ file: borrowing Descriptor) -> [UInt8]? {
    guard section.size <= largestSection else { return nil }
    return read(file, section.offset, section.size)
  }

  private static func read(_ file: borrowing Descriptor, _ start: UInt64, _ size: UInt64)
    -> [UInt8]?
  {
    guard let start = off_t(exactly: start), let size = Int(exactly: size), size <= 1 << 30 else {
      return nil
    }
    var bytes = [UInt8](repeating: 0, count: size)
    var done = 0
    while done < size {
      let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        // Safe: what is read ends where the buffer ends.
        unsafe pread(
          file.number, buffer.baseAddress.map { unsafe $0 + done }, size - done,
          start + off_t(done))
      }
      guard count > 0 else { return nil }
      done += count
    }
    return bytes
  }

  private static func number(_ bytes: [UInt8], _ start: Int, _ length: Int) -> UInt64 {
    guard start >= 0, bytes.count - start >= length else { return 0 }
    return RequestNotes.number(bytes, start, length)
  }

  private static func name(_ bytes: [UInt8], _ start: Int) -> String {
    guard bytes.indices.contains(start) else { return "" }
    return String(decoding: bytes[start...].prefix(1_000).prefix { $0 != 0 }, as: UTF8.self)
  }
}
