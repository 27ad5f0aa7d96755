import CLinux
import EventLoop

@testable import StaticFiles

/// A directory of its own, removed with this object.
final class Directory {
  let path: String

  init() {
    var template = Array("/tmp/weir-files-XXXXXX".utf8CString)
    path = unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let start = buffer.baseAddress, let made = unsafe mkdtemp(start) else { return "" }
      return unsafe String(cString: made)
    }
  }

  deinit { Self.remove(path) }

  private static func remove(_ path: String) {
    if let stream = unsafe opendir(path) {
      var names: [String] = []
      while let entry = unsafe readdir(stream) {
        if let name = unsafe weir_entry_name(entry) { names.append(unsafe String(cString: name)) }
      }
      unsafe closedir(stream)
      for name in names where name != "." && name != ".." {
        let child = path + "/" + name
        var status = stat()
        if unsafe lstat(child, &status) == 0, status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR) {
          remove(child)
        } else {
          unsafe unlink(child)
        }
      }
    }
    unsafe rmdir(path)
  }

  func make(_ name: String) { unsafe mkdir(path + "/" + name, 0o755) }

  /// Writes a file; its time is one of 2001, `age` nanoseconds earlier.
  func write(_ name: String, _ text: String, age: Int = 0) {
    let bytes = Array(text.utf8)
    let number = unsafe weir_open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    _ = unsafe CLinux.write(number, bytes, bytes.count)
    let time = timespec(tv_sec: 1_000_000_000, tv_nsec: 500_000_000 - age)
    _ = unsafe futimens(number, [time, time])
    close(number)
  }

  func link(_ name: String, to target: String) { unsafe symlink(target, path + "/" + name) }

  func fifo(_ name: String) { unsafe mkfifo(path + "/" + name, 0o644) }

  /// The directory's files, served.
  func site(_ change: (inout FileSettings) -> Void = { _ in }) throws -> FileSite {
    var settings = FileSettings(root: path)
    change(&settings)
    return try FileSite(settings)
  }
}

/// Long after 2001, in seconds.
let now: Int64 = 1_700_000_000

extension FileSite {
  func get(_ path: String, _ change: (inout FileRequest) -> Void = { _ in }) -> FileAnswer {
    var request = FileRequest(path: Array(path.utf8))
    change(&request)
    return answer(request, now: now)
  }
}

extension FileAnswer {
  /// The content as text.
  var text: String? {
    switch content {
    case .none: return nil
    case .bytes(let bytes): return String(decoding: bytes, as: UTF8.self)
    case .file(let file, let offset, let length):
      var bytes = [UInt8](repeating: 0, count: length)
      let read = unsafe bytes.withUnsafeMutableBytes {
        unsafe file.readWaiting(into: $0, at: offset)
      }
      return read == .bytes(length) || length == 0 ? String(decoding: bytes, as: UTF8.self) : nil
    }
  }

  /// A field's value.
  func field(_ name: String) -> String? {
    let text = String(decoding: lines, as: UTF8.self)
    for line in text.split(separator: "\r\n") where line.hasPrefix(name + ": ") {
      return String(line.dropFirst(name.count + 2))
    }
    return nil
  }
}
