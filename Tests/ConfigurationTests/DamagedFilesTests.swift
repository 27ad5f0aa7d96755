import Configuration
import Testing

/// A generator with a seed (SplitMix64), so that a failure can be had again.
private struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

private let good = Array(
  """
  # A configuration with something of everything.
  workers auto; listen :8080; listen [::1]:8081;
  access_log "logs/a\\u{e9}.json"; drain_timeout 1m30s; node_name pop-1;
  admin 127.0.0.1:9090 { token "0123456789abcdef"; }
  store cache { size 1GiB; max_object 100m; }
  client { header_timeout 5s; max_body 10MiB; max_fields 50; }
  origin app { server 127.0.0.1:9000; server b.example:80; host example.com; keepalive 8; }
  origin short [::1]:9000;
  limit ip { token_bucket 50/s burst="100"; key client.ip; max_keys 1000; }
  site example.com *.example.com {
  \torigin short;
  \troute / { origin app; limit ip; }
  \troute = /exact { cache off; upgrade on; expose_tags on; max_body 1k; }
  \troute =/other;
  }

  """.utf8)

private func parse(_ bytes: [UInt8]) -> LoadedConfiguration {
  ConfigurationFile.parse(bytes, name: "edge.conf", directory: "/nonexistent")
}

/// Whether a result is sound: a configuration or an error, and everything in order and renderable.
private func isSound(_ loaded: LoadedConfiguration) -> Bool {
  let hasErrors = loaded.diagnostics.contains { $0.severity == .error }
  let lines = loaded.diagnostics.map { ($0.line, $0.column) }
  let isOrdered = zip(lines, lines.dropFirst()).allSatisfy { $0 <= $1 }
  let text = Diagnostic.text(loaded.diagnostics)
  return (loaded.configuration == nil) == hasErrors && isOrdered
    && text.isEmpty == loaded.diagnostics.isEmpty
}

private func mutated(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
  var result = bytes
  let pieces: [[UInt8]] = ["{", "}", ";", "\"", "\\", "=", "#", "\n", "\u{0}", "é", "9", "/"]
    .map { Array($0.utf8) }
  for _ in 0..<Int.random(in: 1...4, using: &generator) where !result.isEmpty {
    let start = Int.random(in: 0..<result.count, using: &generator)
    let end = min(result.count, start + Int.random(in: 0...20, using: &generator))
    switch Int.random(in: 0..<5, using: &generator) {
    case 0: result[start] = UInt8.random(in: 0...255, using: &generator)
    case 1: result.removeSubrange(start..<end)
    case 2: result.insert(contentsOf: result[start..<end], at: start)
    case 3:
      let target = Int.random(in: 0..<result.count, using: &generator)
      result.insert(contentsOf: Array(result[start..<end]), at: target)
    default: result.insert(contentsOf: pieces.randomElement(using: &generator) ?? [], at: start)
    }
  }
  return result
}

@Suite("Damaged files")
struct DamagedFilesTests {
  @Test func `the undamaged file is good`() {
    let loaded = parse(good)
    #expect(loaded.configuration != nil)
    #expect(Diagnostic.text(loaded.diagnostics) == "")
  }

  @Test func `every prefix of a good file is a configuration or has an error`() {
    for length in 0...good.count {
      #expect(isSound(parse(Array(good[..<length]))), "\(length) bytes")
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `a mutated file is a configuration or has an error`(_ seed: UInt64) {
    var generator = SeededGenerator(state: seed)
    for round in 0..<200 {
      let bytes = mutated(good, &generator)
      #expect(isSound(parse(bytes)), "seed \(seed), round \(round)")
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `random bytes are never a configuration`(_ seed: UInt64) {
    var generator = SeededGenerator(state: seed)
    let alphabet = Array("{};\"\\= \n#ab:/19.é".utf8)
    for round in 0..<100 {
      let count = Int.random(in: 0...300, using: &generator)
      let isText = round % 2 == 0
      let bytes = (0..<count).map { _ in
        isText
          ? alphabet.randomElement(using: &generator) ?? 0
          : UInt8.random(in: 0...255, using: &generator)
      }
      let loaded = parse(bytes)
      #expect(loaded.configuration == nil && isSound(loaded), "seed \(seed), round \(round)")
    }
  }

  @Test func `what is not text is one error at its place`() {
    let invalid: [(bytes: [UInt8], column: Int)] = [
      ([0x61, 0x00], 2), ([0xFF], 1), ([0xC3], 1), ([0xC0, 0x80], 1), ([0xED, 0xA0, 0x80], 1),
      ([0xF4, 0x90, 0x80, 0x80], 1), ([0xC3, 0xA9, 0xE2, 0x82], 2), ([0xF0, 0x9F, 0x98, 0x41], 1),
    ]
    for (bytes, column) in invalid {
      let diagnostics = parse(bytes).diagnostics
      #expect(diagnostics.count == 1)
      #expect(diagnostics.first?.line == 1 && diagnostics.first?.column == column, "\(bytes)")
    }
  }

  @Test func `a byte order mark is not part of the text`() {
    let diagnostics = parse([0xEF, 0xBB, 0xBF] + Array("wokers 1; listen :80;".utf8)).diagnostics
    #expect(diagnostics.first?.column == 1)
    #expect(diagnostics.first?.suggestion == "workers")
  }

  @Test func `a huge file is refused without being read`() {
    let loaded = parse([UInt8](repeating: UInt8(ascii: "#"), count: (16 << 20) + 1))
    #expect(
      Diagnostic.text(loaded.diagnostics) == """
        edge.conf: error: the configuration is larger than 16MiB

        """)
  }

  @Test func `a file that nests a hundred thousand deep is refused`() {
    let opened = Array(repeating: Array("a{".utf8), count: 100_000).joined()
    let loaded = parse(Array(opened))
    #expect(loaded.configuration == nil)
    #expect(loaded.diagnostics.contains { $0.message == "blocks nest deeper than 32" })
    let closed = Array(opened) + [UInt8](repeating: UInt8(ascii: "}"), count: 100_000)
    #expect(parse(closed).diagnostics.first?.message.contains("unknown setting") == true)
  }

  @Test func `of very many errors a thousand are shown and the rest counted`() {
    let loaded = parse([UInt8](repeating: UInt8(ascii: ";"), count: 1_500))
    #expect(loaded.diagnostics.count == 1_001)
    #expect(loaded.diagnostics.last?.message == "501 more errors and warnings are not shown")
  }

  @Test func `very many warnings are no error`() {
    let origins = (0..<1_500).map { "origin o\($0) a:1; " }.joined()
    let loaded = parse(Array("listen :80; site * { origin o0; } \(origins)".utf8))
    #expect(loaded.configuration?.origins.count == 1_500)
    #expect(loaded.diagnostics.count == 1_001 && isSound(loaded))
  }

  @Test func `a large file with many errors in one line is read in linear time`() {
    // In quadratic time this would not end.
    let line = Array("origin x y z; a=\"\\q\" ".utf8)
    let bytes = Array(Array(repeating: line, count: 50_000).joined())
    #expect(isSound(parse(bytes)))
  }
}
