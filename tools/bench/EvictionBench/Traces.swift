// Requests to replay: recorded ones, ones drawn from a CDN's published distributions, and made-up ones
// that each show one thing.

import Bytes
import CLinux
import FoundationEssentials

/// One request.
struct Request {
  /// A number from 0 on, dense.
  var object: Int32
  /// Bytes of the response's content.
  var size: Int32
}

/// Requests with a name.
struct Trace {
  let name: String
  let requests: [Request]
  /// Different objects.
  let objects: Int
  /// The bytes of them all.
  let footprint: Int

  init(_ name: String, _ raw: [(object: UInt64, size: Int)]) {
    var numbers: [UInt64: Int32] = [:]
    var sizes: [Int32] = []
    self.name = name
    requests = raw.map { request in
      let size = Int32(clamping: max(request.size, 1))
      let known = numbers[request.object]
      let number = known ?? Int32(numbers.count)
      if known == nil {
        numbers[request.object] = number
        sizes.append(size)
      }
      // A size that changes is another response; policies are compared on what stays.
      return Request(object: number, size: sizes[Int(number)])
    }
    objects = numbers.count
    footprint = sizes.reduce(0) { $0 + Policy.cost(Int($1)) }
  }
}

/// A generator with a seed (SplitMix64).
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z &>> 31)
  }
}

/// Draws indices with given weights.
struct Weighted {
  private var sums: [Double] = []

  init(_ weights: some Sequence<Double>) {
    var sum = 0.0
    for weight in weights {
      sum += weight
      sums.append(sum)
    }
  }

  func next(_ random: inout Seeded) -> Int {
    let value = Double.random(in: 0..<(sums.last ?? 1), using: &random)
    var low = 0
    var high = sums.count - 1
    while low < high {
      let middle = (low + high) / 2
      if sums[middle] > value { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

enum Traces {
  /// Recorded traces that are in the directory.
  static func recorded(in directory: String) -> [Trace] {
    var traces: [Trace] = []
    if let bytes = read(directory + "/adaptsize-request.txt") {
      traces.append(Trace("CDN requests (AdaptSize)", numbers(in: bytes, separator: 32)))
    }
    if let bytes = read(directory + "/jedi-synthetic-cdn.txt") {
      traces.append(Trace("CDN video (Jedi)", numbers(in: bytes, separator: 44)))
    }
    for name in ["web07", "web12"] {
      guard let bytes = read("\(directory)/\(name)-int32be.bin") else { continue }
      traces.append(Trace("product pages, \(name)", integers(in: bytes)))
    }
    if let trace = drawn(directory) { traces.append(trace) }
    return traces
  }

  /// Requests drawn from the popularities and sizes that a production CDN's caches had (CacheLib), with
  /// a tenth of its keys.
  private static func drawn(_ directory: String) -> Trace? {
    struct Popularity: Decodable {
      var popularityBuckets: [Int]
      var popularityWeights: [Double]
    }
    struct Sizes: Decodable {
      var valSizeRange: [Double]
      var valSizeRangeProbability: [Double]
    }
    guard let first = read(directory + "/cachelib-cdn-pop.json"),
      let second = read(directory + "/cachelib-cdn-sizes.json"),
      let popularity = try? JSONDecoder().decode(Popularity.self, from: Data(first)),
      let sizes = try? JSONDecoder().decode(Sizes.self, from: Data(second)),
      sizes.valSizeRange.count >= 2
    else { return nil }
    var random = Seeded(5)
    let buckets = Weighted(popularity.popularityWeights)
    let ranges = Weighted(sizes.valSizeRangeProbability)
    var starts = [0]
    for count in popularity.popularityBuckets {
      starts.append((starts.last ?? 0) + max(count / 10, 1))
    }
    var sizeOf: [UInt64: Int] = [:]
    let raw = (0..<1_500_000).map { _ in
      let bucket = min(buckets.next(&random), starts.count - 2)
      let object = UInt64(Int.random(in: starts[bucket]..<starts[bucket + 1], using: &random))
      let size =
        sizeOf[object]
        ?? {
          let range = min(ranges.next(&random), sizes.valSizeRange.count - 2)
          let (low, high) = (sizes.valSizeRange[range], sizes.valSizeRange[range + 1])
          return Int(low + (high - low) * Double.random(in: 0..<1, using: &random))
        }()
      sizeOf[object] = size
      return (object, size)
    }
    return Trace("CDN distributions (CacheLib)", raw)
  }

  /// Made-up ones.
  static func synthetic() -> [Trace] {
    var random = Seeded(11)
    let zipf = Weighted((1...100_000).map { 1 / pow(Double($0), 0.9) })
    func size(_ object: UInt64) -> Int {
      // Log-normal around 10 KiB, as web objects are.
      var random = Seeded(object &* 77)
      let normal = (0..<12).reduce(-6.0) { sum, _ in
        sum + Double.random(in: 0..<1, using: &random)
      }
      return Int(10_240 * exp(1.4 * normal))
    }
    func popular() -> UInt64 { UInt64(zipf.next(&random)) }
    let plain = (0..<1_000_000).map { _ in popular() }
    var next: UInt64 = 1 << 32
    var scanned = plain
    for start in stride(from: 100_000, to: 1_000_000, by: 200_000) {
      // A crawler goes through 60,000 objects once.
      for index in start..<start + 60_000 {
        scanned[index] = next
        next += 1
      }
    }
    let wonders = plain.map { object in
      guard Int.random(in: 0..<2, using: &random) == 0 else { return object }
      next += 1
      return next
    }
    let shifting = plain.enumerated().map { index, object in
      // What is popular changes every 100,000 requests.
      object &+ UInt64(index / 100_000) * 30_000
    }
    return [
      ("Zipf 0.9", plain), ("Zipf and scans", scanned), ("half asked for once", wonders),
      ("Zipf that shifts", shifting),
    ].map { name, objects in Trace(name, objects.map { ($0, size($0)) }) }
  }

  // MARK: Files

  private static func read(_ path: String) -> [UInt8]? {
    let file = unsafe weir_open(path, O_RDONLY, 0)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = unsafe part.withUnsafeMutableBytes {
        unsafe CLinux.read(file, $0.baseAddress, $0.count)
      }
      if count <= 0 { return bytes }
      bytes += part[..<count]
    }
  }

  /// Lines of time, object and size.
  private static func numbers(in bytes: [UInt8], separator: UInt8) -> [(object: UInt64, size: Int)]
  {
    bytes.split(separator: 10).compactMap { line in
      let parts = line.split(separator: separator)
      guard parts.count == 3 else { return nil }
      let values = parts.map { part in
        part.reduce(0 as UInt64) { $1 >= 48 && $1 < 58 ? $0 &* 10 &+ UInt64($1 - 48) : $0 }
      }
      return (values[1], Int(clamping: values[2]))
    }
  }

  /// Big-endian object numbers of 32 bits; pages of 8 KiB.
  private static func integers(in bytes: [UInt8]) -> [(object: UInt64, size: Int)] {
    stride(from: 0, to: bytes.count - 3, by: 4).map { start in
      (bytes[start..<start + 4].reduce(0 as UInt64) { $0 << 8 | UInt64($1) }, 8_192)
    }
  }
}
