internal import Bytes
internal import EventLoop

/// Who a process is, and where its code lies: what return addresses mean.
package struct CrashIdentity: Sendable, Equatable {
  /// A file of code in memory.
  package struct Image: Sendable, Equatable {
    /// The name of the file, without its directories.
    package var name: String
    /// Its first address, and the one behind its last.
    package var start: UInt64
    package var end: UInt64
  }

  /// What `weir version` says.
  package var version: String
  /// The build id of its executable, in hexadecimal digits; empty if it has none.
  package var build: String
  /// The executable first.
  package var images: [Image]

  /// The most images that are kept.
  private static let mostImages = 40

  /// The identity of this process.
  package static func own(version: String) -> CrashIdentity {
    CrashIdentity(
      version: version, build: BuildID.own ?? "",
      images: images(in: StateFile.read("/proc/self/maps") ?? []))
  }

  /// The images of a text like /proc/self/maps.
  static func images(in maps: [UInt8]) -> [Image] {
    var images: [Image] = []
    for line in String(decoding: maps, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 5)
      let range = words[0].split(separator: "-")
      guard words.count == 6, range.count == 2, let start = UInt64(range[0], radix: 16),
        let end = UInt64(range[1], radix: 16)
      else { continue }
      let path = words[5].drop { $0 == " " }
      guard path.hasPrefix("/"), let name = path.split(separator: "/").last else { continue }
      if let last = images.indices.last, images[last].name == name {
        images[last].end = max(images[last].end, end)
      } else if images.count < mostImages {
        images.append(Image(name: String(name), start: start, end: end))
      }
    }
    return images
  }

  /// As it stands in the area.
  var text: String {
    var text = "\(version)\n\(build)\n"
    for image in images {
      text += "\(String(image.start, radix: 16)) \(String(image.end, radix: 16)) \(image.name)\n"
    }
    return text
  }

  /// Reads such a text, as far as it goes.
  init(text: String) {
    // Whoever wrote it went wrong later: nothing of it may act on a terminal.
    let isPlain = { (scalar: Unicode.Scalar) in
      scalar == "\n" || scalar.value >= 0x20 && scalar.value < 0x7F
    }
    let lines = String(String.UnicodeScalarView(text.unicodeScalars.filter(isPlain))).split(
      separator: "\n", omittingEmptySubsequences: false)
    version = lines.first.map { String($0) } ?? ""
    build = lines.count > 1 ? String(lines[1]) : ""
    images = lines.dropFirst(2).compactMap { line in
      let words = line.split(separator: " ", maxSplits: 2)
      guard words.count == 3, let start = UInt64(words[0], radix: 16),
        let end = UInt64(words[1], radix: 16), start < end
      else { return nil }
      return Image(name: String(words[2]), start: start, end: end)
    }
  }

  init(version: String, build: String, images: [Image]) {
    self.version = version
    self.build = build
    self.images = images
  }

  /// Where an address lies: the image, and how far behind its beginning.
  func place(of address: UInt64) -> (image: Int, offset: UInt64)? {
    images.firstIndex { $0.start <= address && address < $0.end }.map {
      ($0, address - images[$0].start)
    }
  }
}
