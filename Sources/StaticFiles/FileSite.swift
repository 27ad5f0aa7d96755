// A directory of files as an origin: `files ./public`.
//
// It answers as an origin does, with a head and content, so that its answers go the way of all others:
// through a fill, into the store, to every client that waits. All of this blocks (opening a file may wait
// for a disk), so it runs on a helper's thread (`FileThreads`).

internal import Bytes
package import EventLoop
internal import HTTPMessage

/// How a directory is served.
package struct FileSettings: Sendable, Equatable {
  /// The directory, absolute.
  package var root: String
  /// Files that stand for their directory, in order.
  package var indexes = ["index.html"]
  /// Whether a directory without one is listed.
  package var lists = false
  /// Whether symbolic links are followed, as far as they stay beneath the root.
  package var followsLinks = false
  /// Whether `name.br`, `name.zst` and `name.gz` are sent in place of `name`.
  package var precompressed = true

  /// A directory, with the defaults.
  package init(root: String) { self.root = root }
}

/// See the top of this file.
package final class FileSite: Sendable {
  private let settings: FileSettings
  private let beneath: Beneath

  /// Opens the directory.
  package init(_ settings: FileSettings) throws(Errno) {
    self.settings = settings
    beneath = try Beneath(settings.root, followsLinks: settings.followsLinks)
  }

  init(_ settings: FileSettings, beneath: Beneath) {
    self.settings = settings
    self.beneath = beneath
  }

  /// Answers a request; `now` in seconds since the epoch. Blocks.
  package func answer(_ request: FileRequest, now: Int64) -> FileAnswer {
    switch request.method {
    case .get, .head: break
    default:
      var answer = FileAnswer(status: 405)
      answer.add("allow", "GET, HEAD")
      return answer
    }
    guard let path = request.path.withView({ FilePath($0) }) else { return FileAnswer(status: 404) }
    if path.isDirectory { return answerDirectory(path, request, now: now) }
    switch beneath.open(path) {
    case .file(let file): return answerFile(file, path, request, now: now)
    case .directory: return redirect(request)
    case .nothing: return FileAnswer(status: 404)
    case .forbidden: return FileAnswer(status: 403)
    case .unavailable: return FileAnswer(status: 503)
    }
  }

  private func answerDirectory(_ path: FilePath, _ request: FileRequest, now: Int64) -> FileAnswer {
    for index in settings.indexes {
      let path = path.appending(index)
      switch beneath.open(path) {
      case .file(let file): return answerFile(file, path, request, now: now)
      case .directory, .nothing: continue
      case .forbidden: return FileAnswer(status: 403)
      case .unavailable: return FileAnswer(status: 503)
      }
    }
    guard settings.lists, case .directory(let directory) = beneath.open(path),
      let page = Listing.page(of: directory.socket, title: [ASCII.slash] + path.title)
    else { return FileAnswer(status: 404) }
    var answer = FileAnswer(status: 200)
    answer.add("content-type", "text/html; charset=utf-8")
    answer.add("cache-control", "no-store")
    answer.add("content-security-policy", "default-src 'none'")
    answer.content = .bytes(page)
    return answer
  }

  /// To the same path with a slash, where relative references lead to what is in the directory.
  private func redirect(_ request: FileRequest) -> FileAnswer {
    var answer = FileAnswer(status: 301)
    // It begins with one slash: an empty segment would have been refused.
    var location = request.path + [ASCII.slash]
    if let query = request.query { location += [ASCII.question] + query }
    // A codec lets no control bytes through; another caller's must not end the field either.
    guard location.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { return FileAnswer(status: 404) }
    answer.add("location", bytes: location)
    return answer
  }

  private func answerFile(
    _ file: OpenFile, _ path: FilePath, _ request: FileRequest, now: Int64
  ) -> FileAnswer {
    let (chosen, coding, varies) = choose(file, path, request)
    let validators = FileValidators(chosen, now: now)
    var fields = FileAnswer(status: 200)
    if varies { fields.add("vary", "accept-encoding") }
    fields.add("etag", validators.field)
    var date = ByteBuffer(capacity: 29)
    HTTPDate.append(validators.modified, to: &date)
    fields.add("last-modified", bytes: date.view.array)
    switch FileCondition.evaluate(request, validators, now: now) {
    case .proceed: break
    case .notModified:
      fields.status = 304
      return fields
    case .failed: return FileAnswer(status: 412)
    }
    fields.add("content-type", ContentTypes.type(of: path.fileExtension))
    if let coding { fields.add("content-encoding", coding.coding) }
    fields.add("accept-ranges", "bytes")
    fields.content = .file(chosen, offset: 0, length: chosen.size)
    guard request.method == .get, FileCondition.mayUseRange(request, validators, now: now) else {
      return fields
    }
    return cut(fields, chosen, FileRange(request.range, size: chosen.size))
  }

  private func cut(_ whole: FileAnswer, _ file: OpenFile, _ range: FileRange) -> FileAnswer {
    var answer = whole
    switch range {
    case .whole: break
    case .part(let offset, let length):
      answer.status = 206
      answer.add("content-range", "bytes \(offset)-\(offset + length - 1)/\(file.size)")
      answer.content = .file(file, offset: offset, length: length)
    case .unsatisfiable:
      answer = FileAnswer(status: 416)
      answer.add("content-range", "bytes */\(file.size)")
    }
    return answer
  }

  /// The file itself, or one that lies beside it in a coding that the client likes. One that is older
  /// than the file is left over from an earlier one. Whether there are any: then the answer varies.
  private func choose(
    _ file: OpenFile, _ path: FilePath, _ request: FileRequest
  ) -> (file: OpenFile, coding: Precompression?, varies: Bool) {
    guard settings.precompressed else { return (file, nil, false) }
    let accepted = AcceptedCodings(request.acceptEncoding)
    var best: (file: OpenFile, coding: Precompression, weight: Int)?
    var varies = false
    for coding in Precompression.allCases {
      guard case .file(let ready) = beneath.open(path.suffixed(coding.suffix)),
        ready.isAtLeastAsNew(as: file)
      else { continue }
      varies = true
      let weight = accepted.weight(of: coding)
      if weight > best?.weight ?? 0 { best = (ready, coding, weight) }
    }
    return (best?.file ?? file, best?.coding, varies)
  }
}

extension OpenFile {
  fileprivate func isAtLeastAsNew(as other: OpenFile) -> Bool {
    modified > other.modified
      || modified == other.modified && modifiedNanoseconds >= other.modifiedNanoseconds
  }
}

extension FilePath {
  /// The directory's name with a slash behind it, for its page.
  fileprivate var title: [UInt8] { name.isEmpty ? [] : name + [ASCII.slash] }
}
