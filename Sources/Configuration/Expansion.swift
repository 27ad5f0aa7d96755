// What stands in a file for other text: other files, values of the environment, and snippets.
//
//     include "sites/*.conf";          the files' text, in the order of their names
//     ${NAME}  ${NAME:-default}        the value of a variable of the environment
//     snippet cdn(ttl) { … }           a text with holes, which stand in it as ${ttl}
//     use cdn(1h);                     that text
//
// All of it is put into one text before anything is parsed, so that settings and rules, which are parsed
// from offsets in a text, need know nothing of it. A map of segments says of each byte of that text where
// it was written; diagnostics go through it and name the file, the line and the column there. What stands
// for a value is mapped to the `${…}` as a whole, so no value of the environment is ever shown.
//
// A value can never become syntax: in quotes it is escaped, and as a bare word it is quoted if it has to
// be. Two passes: one finds the snippets, so that their order means nothing; the other writes the text.
// Rules have `${…}` of their own in their texts; they and these never meet, for variables of the
// environment have capital letters here, which no data of a request has.

/// A text put together from several places.
struct Expansion {
  /// The files that it came from; the first is the configuration itself.
  var files: [SourceText]
  /// The text.
  var text: [UInt8] = []
  /// Where each part of the text was written, in the order of the text, without gaps.
  var segments: [Segment] = []
  /// The places at which snippets are used, by the numbers that segments carry.
  var uses: [SourceRange] = []
  /// What was read, so that the same can be read again whatever has happened to the files.
  var parts = ConfigurationParts()
  /// Whether the text is that of the first file.
  var isPlain = true

  /// A run of bytes of the text.
  struct Segment {
    /// Where it begins in the text.
    var lower: Int
    /// Where it was written.
    var origin: SourceRange
    /// Whether it is a copy of what stands there; if not, it stands for all of that.
    var isCopy: Bool
    /// The use of the snippet that it is in.
    var use: Int?
  }
}

extension Expansion {
  /// Where a range of the text was written, and the use of the snippet that it is in.
  func origin(of range: SourceRange) -> (range: SourceRange, use: SourceRange?) {
    guard !segments.isEmpty else { return (range, nil) }
    // A place behind something is that thing's end, not the begin of what follows in another file.
    let isPlace = range.upper <= range.lower
    let first = segments[index(of: isPlace ? max(range.lower - 1, 0) : range.lower)]
    var result = first.origin
    if first.isCopy {
      result.lower = min(first.origin.lower + range.lower - first.lower, first.origin.upper)
      let last = segments[index(of: max(range.upper - 1, 0))]
      if last.origin.source == first.origin.source, last.origin.upper >= result.lower {
        result.upper =
          last.isCopy
          ? min(last.origin.lower + range.upper - last.lower, last.origin.upper)
          : last.origin.upper
      }
      if isPlace { result.upper = result.lower }
    } else if isPlace {
      result.lower = result.upper
    }
    return (result, first.use.map { uses[$0] })
  }

  /// Whether something in a range stands for a value of the environment.
  func hasValue(in range: SourceRange) -> Bool {
    guard !segments.isEmpty, range.upper > range.lower else { return false }
    return segments[index(of: range.lower)...index(of: range.upper - 1)].contains { !$0.isCopy }
  }

  /// The line, from 1, of its file that an offset of the text was written in.
  func line(at offset: Int) -> Int {
    let origin = origin(of: SourceRange(source: 0, lower: offset, upper: offset + 1)).range
    return files[origin.source].line(at: origin.lower)
  }

  private func index(of offset: Int) -> Int {
    var low = 0
    var high = segments.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if segments[middle].lower <= offset { low = middle } else { high = middle }
    }
    return low
  }
}

/// Where files and values come from.
struct Surroundings {
  /// The value of a variable; nil if it is not set.
  var variable: (String) -> String?
  /// The paths that a pattern stands for, sorted.
  var find: (String) -> Result<[String], FileProblem>
  /// What a file has.
  var read: (String) -> Result<[UInt8], FileProblem>

  /// The process's own.
  static var system: Surroundings {
    Surroundings(
      variable: { FileContents.variable($0) }, find: { FileContents.matching($0) },
      read: { path in
        FileContents.read(path, most: SourceText.largest, onlyRegular: true).map(\.bytes)
      })
  }

  /// The files as they were read before; variables do not change while a process runs.
  static func captured(_ parts: ConfigurationParts) -> Surroundings {
    Surroundings(
      variable: { FileContents.variable($0) },
      find: { pattern in
        guard let found = parts.found.first(where: { $0.pattern == pattern }) else {
          return .failure(.missing)
        }
        return .success(found.paths)
      },
      read: { path in
        guard let file = parts.files.first(where: { $0.path == path }) else {
          return .failure(.missing)
        }
        return .success(file.bytes)
      })
  }
}
