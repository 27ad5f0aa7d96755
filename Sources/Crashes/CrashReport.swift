// The report of a crash, as a text for people whose first lines `weir doctor` reads:
//
//     weir crash report
//     time: 2026-11-22T01:02:03Z
//     process: 1234
//     …
//     object: 0123456789abcdef0123456789abcdef
//     backtrace:
//       0 weir+0x1a2b3c Edge.Exchange.begin(…) -> ()+17
//     requests, the newest first:
//       worker 0: shop.example/p/17

package import Bytes
internal import CLinux

/// What is known of a crash.
package struct CrashReport: Sendable, Equatable {
  /// One of the functions that were under way, the innermost first.
  package struct Frame: Sendable, Equatable {
    /// Its file and how far behind the beginning of that; an address where no file is known.
    package var place: String
    /// Its name; nil if it is not known.
    package var name: String?
  }

  /// Seconds since 1970.
  package var time: Int64
  /// The process that has died.
  package var process: Int32
  /// By which signal, and what that is called.
  package var signal: Int32
  package var signalName: String
  /// Which build it was.
  package var identity: CrashIdentity
  /// The address that was touched; nil if the signal was sent by somebody, or nothing was written down.
  package var address: UInt64?
  /// The name of the thread; nil if nothing was written down, as after SIGKILL.
  package var thread: String?
  /// The stored object that this thread worked on, by its keyed hash; nil: none.
  package var object: Hash128?
  package var frames: [Frame] = []
  /// The requests that each worker began last, the newest first, by worker; none for those that had none.
  package var requests: [(worker: Int, targets: [String])] = []

  package static func == (left: CrashReport, right: CrashReport) -> Bool { left.text == right.text }

  /// What an area says of the process that has died.
  ///
  /// - Parameters:
  ///   - executable: the file whose symbols name functions, if it is the build that has died.
  ///   - now: seconds since 1970, for what left no time behind.
  package init(
    _ bytes: [UInt8], process: Int32, signal: Int32, signalName: String, executable: String,
    now: Int64
  ) {
    self.process = process
    self.signal = signal
    self.signalName = signalName
    guard bytes.count >= CrashArea.size else {
      identity = CrashIdentity(text: "")
      time = now
      return
    }
    let length = min(Self.number(bytes, CrashArea.page, 8), UInt64(CrashArea.page - 8))
    let begin = CrashArea.page + 8
    identity = CrashIdentity(
      text: String(decoding: bytes[begin..<begin + Int(length)], as: UTF8.self))
    time = now
    for worker in 0..<CrashArea.mostWorkers {
      let page = (CrashArea.firstWorker + worker) * CrashArea.page
      let targets = RequestNotes.read(bytes, from: page)
      if !targets.isEmpty { requests.append((worker, targets)) }
    }
    guard Self.number(bytes, 0, 8) == CrashArea.magic else { return }
    object = CrashArea.objectPlace(bytes).flatMap { CrashArea.object(bytes, at: $0) }
    time = Self.seconds(of: bytes)
    if Int32(truncatingIfNeeded: Self.number(bytes, 12, 4)) > 0 {
      address = Self.number(bytes, 16, 8)
    }
    thread = CrashText.plain(bytes[48..<64].prefix { $0 != 0 })
    let count = Int(min(Self.number(bytes, 44, 4), 64))
    let all = (0..<count).map { Self.number(bytes, 64 + 8 * $0, 8) }
    // Before the function that was interrupted stand the handler and what calls it.
    let counter = Self.number(bytes, 24, 8)
    frames = Self.frames(
      all.firstIndex(of: counter).map { Array(all[$0...]) } ?? [counter] + all, identity, executable
    )
  }

  /// When the process of an area has died, by the first bytes of that.
  private static func seconds(of bytes: [UInt8]) -> Int64 {
    Int64(bitPattern: number(bytes, 32, 8))
  }

  /// The same as a text.
  static func time(of bytes: [UInt8]) -> String { text(ofTime: seconds(of: bytes)) }

  /// By which signal the process of an area has died; nil: it has written down none.
  package static func signal(of bytes: [UInt8]) -> Int32? {
    guard bytes.count >= CrashArea.size, number(bytes, 0, 8) == CrashArea.magic else { return nil }
    return Int32(truncatingIfNeeded: number(bytes, 8, 4))
  }

  private static func number(_ bytes: [UInt8], _ start: Int, _ length: Int) -> UInt64 {
    RequestNotes.number(bytes, start, length)
  }

  private static func frames(
    _ addresses: [UInt64], _ identity: CrashIdentity, _ executable: String
  ) -> [Frame] {
    // All but the innermost are addresses that are returned to: the call stands before.
    let places = addresses.enumerated().map { index, address in
      identity.place(of: index == 0 ? address : address &- 1)
    }
    var names: [UInt64: String] = [:]
    if let file = ELFFile(path: executable), file.buildID == identity.build {
      names = file.functions(at: Set(places.compactMap { $0?.image == 0 ? $0?.offset : nil }))
    }
    return zip(addresses, places).map { address, place in
      guard let place else { return Frame(place: "0x" + String(address, radix: 16)) }
      return Frame(
        place: "\(identity.images[place.image].name)+0x\(String(place.offset, radix: 16))",
        name: place.image == 0 ? names[place.offset] : nil)
    }
  }

  /// As it stands in its file.
  package var text: String {
    var text = "weir crash report\ntime: \(Self.text(ofTime: time))\nprocess: \(process)\n"
    text += "version: \(identity.version)\nbuild: \(identity.build)\n"
    text += "signal: \(signal) (\(signalName))\n"
    if let address { text += "address: 0x\(String(address, radix: 16))\n" }
    if let thread { text += "thread: \(thread)\n" }
    if let object { text += "object: \(CrashNaming.digits(object))\n" }
    if !frames.isEmpty { text += "backtrace:\n" }
    for (index, frame) in frames.enumerated() {
      text += "  \(index) \(frame.place)" + (frame.name.map { " \($0)" } ?? "") + "\n"
    }
    if !requests.isEmpty { text += "requests, the newest first:\n" }
    for (worker, targets) in requests {
      for target in targets { text += "  worker \(worker): \(target)\n" }
    }
    return text
  }

  /// `2026-11-22T01:02:03Z`.
  static func text(ofTime seconds: Int64) -> String {
    var time = time_t(seconds)
    var parts = unsafe tm()
    guard unsafe gmtime_r(&time, &parts) != nil else { return "\(seconds)" }
    func padded(_ number: Int32) -> String { (number < 10 ? "0" : "") + "\(number)" }
    let year = unsafe Int(parts.tm_year) + 1_900
    let day = unsafe "\(year)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
    return unsafe "\(day)T\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))Z"
  }
}
