import CLinux

/// Compares eviction policies on traces, by misses and by what survivors cost to copy.
@main enum EvictionBench {
  static let policies: [(name: String, make: @Sendable (Int, [Int32]) -> Policy)] = [
    ("LRU", { LRU(capacity: $0, sizes: $1) }),
    ("SIEVE", { SIEVE(capacity: $0, sizes: $1) }),
    ("S3-FIFO", { S3FIFO(capacity: $0, sizes: $1) }),
    ("W-TinyLFU", { WTinyLFU(capacity: $0, sizes: $1) }),
  ]
  /// Parts of the bytes of all objects.
  static let shares = [0.01, 0.05, 0.2]

  static func main() {
    let words = Array(CommandLine.arguments.dropFirst())
    if words.first == "--help" || words.first == "-h" {
      print(
        """
        Usage: eviction [DIRECTORY]

        DIRECTORY has recorded traces, unpacked (shared/data/traces); without it only made-up ones run.
        Prints a table of misses by objects and by bytes, and of bytes copied for each byte stored, in
        per cent; then each line again as JSON.
        """)
      return
    }
    let traces = (words.first.map { Traces.recorded(in: $0) } ?? []) + Traces.synthetic()
    print("| trace | space | " + policies.map(\.name).joined(separator: " | ") + " |")
    print("|---|---|" + policies.map { _ in "---|" }.joined())
    var lines: [String] = []
    for trace in traces {
      var sizes = [Int32](repeating: 0, count: trace.objects)
      for request in trace.requests { sizes[Int(request.object)] = request.size }
      for share in shares {
        let capacity = Int(Double(trace.footprint) * share)
        var cells: [String] = []
        for policy in policies {
          let outcome = policy.make(capacity, sizes).run(trace)
          let objects = per(outcome.misses, outcome.requests)
          let bytes = per(outcome.missedBytes, outcome.bytes)
          let copied = per(outcome.copiedBytes, outcome.storedBytes)
          cells.append("\(objects) / \(bytes) / \(copied)")
          lines.append(
            "{\"bench\": \"eviction\", \"trace\": \"\(trace.name)\", \"share\": \(share), "
              + "\"policy\": \"\(policy.name)\", \"object_misses\": \(objects), "
              + "\"byte_misses\": \(bytes), \"copied\": \(copied)}")
        }
        print("| \(trace.name) | \(Int(share * 100)) % | " + cells.joined(separator: " | ") + " |")
      }
    }
    print("\n" + lines.joined(separator: "\n"))
  }

  /// Per cent, with one digit behind the point.
  private static func per(_ part: Int, _ whole: Int) -> Double {
    whole == 0 ? 0 : (Double(part) / Double(whole) * 1_000).rounded() / 10
  }
}
