import Bytes
import CLinux
import ObjectStore
import Synchronization

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

/// The command line: names with values.
struct Arguments {
  private var values: [String: String] = [:]

  init(_ words: some Sequence<String>) {
    var name: String?
    for word in words {
      if word.hasPrefix("--") {
        if let name { values[name] = "" }
        name = String(word.dropFirst(2))
      } else if let given = name {
        values[given] = word
        name = nil
      }
    }
    if let name { values[name] = "" }
  }

  subscript(name: String) -> String? { values[name] }
  func number(_ name: String, _ normal: Int) -> Int { values[name].flatMap { Int($0) } ?? normal }
}

/// The clocks and what the process uses.
enum Usage {
  static func nanoseconds(_ clock: clockid_t = CLOCK_MONOTONIC) -> Int64 {
    var time = timespec()
    _ = unsafe clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// Processor time of all threads, ns.
  static var cpu: Int64 { nanoseconds(CLOCK_PROCESS_CPUTIME_ID) }

  /// KiB of private memory.
  static var privateMemory: Int {
    for line in Files.read("/proc/self/status").split(separator: "\n")
    where line.hasPrefix("RssAnon:") {
      return line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }
    return 0
  }
}

/// Files and directories, as far as they are needed here.
enum Files {
  static func read(_ path: String) -> String {
    let file = unsafe weir_open(path, O_RDONLY, 0)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe part.withUnsafeMutableBytes {
        unsafe CLinux.read(file, $0.baseAddress, $0.count)
      }
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += part[..<count]
    }
  }

  /// Removes a store's directory: its files, nothing below them.
  static func remove(_ path: String) {
    if let directory = unsafe opendir(path) {
      while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != "." && name != ".." { _ = unsafe unlink(path + "/" + name) }
      }
      unsafe closedir(directory)
    }
    _ = unsafe rmdir(path)
  }
}

/// Says what went wrong and ends the process.
func fail(_ text: String) -> Never {
  let line = Array("StoreBench: \(text)\n".utf8)
  line.withView { _ = unsafe write(2, $0.baseAddress, $0.count) }
  exit(1)
}

/// A number with so many digits behind the point.
func rounded(_ value: Double, _ digits: Int = 1) -> String {
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  return String((value * scale).rounded() / scale)
}

/// Numbers 0 to n - 1 by Zipf's law: the k-th most popular is drawn 1 / k^alpha times as often as the
/// first. By the rejection method of Hörmann and Derflinger (1996), which needs no table.
struct Zipf {
  private let count: Double
  private let alpha: Double
  private let start: Double
  private let end: Double
  private let shortcut: Double

  init(_ count: Int, alpha: Double) {
    self.count = Double(count)
    self.alpha = alpha
    let h = { (x: Double) in Self.integral(x, alpha) }
    start = h(1.5) - 1
    end = h(Double(count) + 0.5)
    shortcut = 2 - Self.inverse(h(2.5) - pow(2, -alpha), alpha)
  }

  private static func integral(_ x: Double, _ alpha: Double) -> Double {
    alpha == 1 ? log(x) : (pow(x, 1 - alpha) - 1) / (1 - alpha)
  }
  private static func inverse(_ x: Double, _ alpha: Double) -> Double {
    alpha == 1 ? exp(x) : pow(max(1 + x * (1 - alpha), 1e-300), 1 / (1 - alpha))
  }

  func next(_ random: inout Seeded) -> Int {
    while true {
      let u = end + Double.random(in: 0..<1, using: &random) * (start - end)
      let x = Self.inverse(u, alpha)
      let k = min(max((x + 0.5).rounded(.down), 1), count)
      if k - x <= shortcut || u >= Self.integral(k + 0.5, alpha) - pow(k, -alpha) {
        return Int(k) - 1
      }
    }
  }
}
