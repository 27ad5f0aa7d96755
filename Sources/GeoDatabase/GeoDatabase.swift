// Where an address is, from databases in MaxMind's format (MaxMind DB file format specification 2.0).
//
// The library maps the file that it opens, and a file that is overwritten in place would change, or end
// the process by SIGBUS, under a reader. So a database is first copied into a file in memory that nobody
// else has, and that is opened: what is open is a snapshot, whatever happens to the file. It costs as
// much memory as the file has (GeoLite2-City: 60 MB) and no more for each worker.
//
// A lookup asks for an entry once (0.2 µs) and for its values one by one, as they are needed.

package import Bytes
internal import CLinux
internal import CMaxMindDB

/// Why a database cannot be used.
package struct GeoDatabaseProblem: Error, Equatable {
  /// The file.
  package var path: String
  /// What is wrong; goes on after the file's name.
  package var message: String
}

/// Where an address was found: entries in up to two databases. Good as long as its database.
package struct GeoPlace: Sendable {
  // One more than the entry's offset; 0 for none.
  fileprivate var first: UInt32 = 0
  fileprivate var second: UInt32 = 0
  /// Nowhere.
  package init() {}
}

/// One or two databases, such as one of cities and one of networks (ASN), as they were when opened.
///
/// Any number of threads may look up at once. Views of texts are good as long as the database.
@safe
package final class GeoDatabase: @unchecked Sendable {
  // Sendable because the library only reads a database that is open.
  private let databases: UnsafeMutablePointer<MMDB_s>
  private let count: Int

  /// The most databases that are asked.
  package static let most = 2

  /// Opens databases; the first that has a value for an address gives it.
  package static func open(
    paths: [String]
  ) -> Result<GeoDatabase, GeoDatabaseProblem> {
    let memory = UnsafeMutablePointer<MMDB_s>.allocate(capacity: most)
    var opened = 0
    for path in paths.prefix(most) {
      if let message = unsafe openSnapshot(path, memory + opened) {
        for index in 0..<opened { unsafe MMDB_close(memory + index) }
        unsafe memory.deallocate()
        return .failure(GeoDatabaseProblem(path: path, message: message))
      }
      opened += 1
    }
    return .success(unsafe GeoDatabase(memory, opened))
  }

  private init(_ databases: UnsafeMutablePointer<MMDB_s>, _ count: Int) {
    unsafe self.databases = unsafe databases
    self.count = count
  }

  deinit {
    for index in 0..<count { unsafe MMDB_close(databases + index) }
    unsafe databases.deallocate()
  }

  /// Where an IPv6 address is, or an IPv4 address that is mapped to IPv6 (RFC 4291 §2.5.5.2).
  package func find(high: UInt64, low: UInt64) -> GeoPlace {
    var place = GeoPlace()
    if count > 0 { place.first = offset(0, high, low) }
    if count > 1 { place.second = offset(1, high, low) }
    return place
  }

  private func offset(_ index: Int, _ high: UInt64, _ low: UInt64) -> UInt32 {
    var entry = unsafe MMDB_entry_s()
    let isVersion4 = high == 0 && low &>> 32 == 0xFFFF
    var version4 = UInt32(truncatingIfNeeded: low).bigEndian
    var version6 = (high.bigEndian, low.bigEndian)
    let found =
      isVersion4
      ? unsafe weir_mmdb_find(databases + index, &version4, 4, &entry)
      : unsafe weir_mmdb_find(databases + index, &version6, 16, &entry)
    guard found == 1 else { return 0 }
    let offset = unsafe entry.offset
    return offset == UInt32.max ? 0 : offset + 1
  }

  /// The ISO 3166-1 code of the country, such as `JP`; empty if it is not known.
  package func country(_ place: GeoPlace) -> ByteView { text(place, "country", "iso_code", nil) }

  /// The code of the continent: `AF AN AS EU NA OC SA`; empty if it is not known.
  package func continent(_ place: GeoPlace) -> ByteView { text(place, "continent", "code", nil) }

  /// The English name of the city; empty if it is not known.
  package func city(_ place: GeoPlace) -> ByteView { text(place, "city", "names", "en") }

  /// The ISO 3166-2 code of the largest subdivision without the country, such as `CA`; empty if it is
  /// not known.
  package func region(_ place: GeoPlace) -> ByteView {
    var length: UInt32 = 0
    for index in 0..<count {
      guard var entry = unsafe entry(index, place) else { continue }
      if let text = unsafe weir_mmdb_first_text(
        &entry, "subdivisions", "iso_code", nil, &length)
      {
        return unsafe ByteView(unsafeStart: UnsafeRawPointer(text), count: Int(length))
      }
    }
    return ByteView()
  }

  /// The number of the network (autonomous system); 0 if it is not known.
  package func network(_ place: GeoPlace) -> Int64 {
    for index in 0..<count {
      guard var entry = unsafe entry(index, place) else { continue }
      let number = unsafe weir_mmdb_number(&entry, "autonomous_system_number")
      if number != 0 { return Int64(number) }
    }
    return 0
  }

  private func text(
    _ place: GeoPlace, _ first: StaticString, _ second: StaticString, _ third: StaticString?
  ) -> ByteView {
    var length: UInt32 = 0
    for index in 0..<count {
      guard var entry = unsafe entry(index, place) else { continue }
      // Safe: literals end with a NUL, and the text is in the snapshot, which lives as long as this.
      if let text = unsafe weir_mmdb_text(
        &entry, first.characters, second.characters, third?.characters, &length)
      {
        return unsafe ByteView(unsafeStart: UnsafeRawPointer(text), count: Int(length))
      }
    }
    return ByteView()
  }

  private func entry(_ index: Int, _ place: GeoPlace) -> MMDB_entry_s? {
    let number = index == 0 ? place.first : place.second
    guard number > 0 else { return nil }
    return unsafe MMDB_entry_s(mmdb: UnsafePointer(databases + index), offset: number - 1)
  }
}

extension StaticString {
  fileprivate var characters: UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}

/// Opens a copy of a file in memory; what went wrong, or nil.
private func openSnapshot(_ path: String, _ database: UnsafeMutablePointer<MMDB_s>) -> String? {
  let file = unsafe weir_open(path, O_RDONLY | O_NONBLOCK, 0)
  guard file >= 0 else { return "cannot be read (errno \(weir_errno()))" }
  defer { close(file) }
  var status = stat()
  guard unsafe fstat(file, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) else {
    return "is not a file"
  }
  let copy = unsafe weir_memory_file("weir-geo")
  guard copy >= 0 else { return "cannot be copied (errno \(weir_errno()))" }
  defer { close(copy) }
  while true {
    let sent = sendfile(copy, file, nil, 1 << 24)
    if sent < 0 && weir_errno() == EINTR { continue }
    guard sent >= 0 else { return "cannot be copied (errno \(weir_errno()))" }
    if sent == 0 { break }
  }
  let code = unsafe MMDB_open("/proc/self/fd/\(copy)", UInt32(MMDB_MODE_MMAP), database)
  guard code == MMDB_SUCCESS else {
    return "is not a database: \(unsafe String(cString: MMDB_strerror(code)))"
  }
  return nil
}
