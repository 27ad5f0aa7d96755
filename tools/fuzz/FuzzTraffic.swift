import Bytes
import TrafficFormats

/// Recordings of any format: the first byte says how the rest is cut and which format is forced on it. However
/// it is cut, the same records come out, and each is a request.
func fuzzTraffic(_ bytes: ByteView) {
  guard bytes.count > 0 else { return }
  let formats: [TrafficFormat?] = [
    nil, .json, .log(.combined), .har, .w3c, .columns(nil), .oracleGeneral, .urls,
  ]
  let format = formats[Int(bytes[0] & 7)]
  let step = Int(bytes[0] >> 3) + 1
  let bytes = bytes.dropping(first: 1)
  let whole = records(bytes, format, step: bytes.count + 1)
  precondition(records(bytes, format, step: step) == whole, "a cut changed the records")
}

private func records(_ bytes: ByteView, _ format: TrafficFormat?, step: Int) -> [[UInt8]] {
  let reader = TrafficReader(format: format)
  var seen: [[UInt8]] = []
  func take(_ record: borrowing TrafficRecord) {
    precondition(record.target[0] == ASCII.slash || record.target == ByteView("*"), "no target")
    for index in 0..<record.method.count {
      precondition(ASCII.isTokenByte(record.method[index]), "no method")
    }
    var text = record.method.array + record.target.array + record.host.array + record.client.array
    for field in record.fields { text += field.name.array + field.value.array }
    seen.append(text)
  }
  var at = 0
  while at < bytes.count {
    reader.feed(bytes[at..<min(at + step, bytes.count)], take)
    at += step
  }
  reader.finish(take)
  precondition(reader.recordCount == seen.count, "records were not counted")
  return seen
}
