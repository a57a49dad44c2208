"""S3's uploads in parts.

Amazon S3 API Reference, "CompleteMultipartUpload" (which may answer 200 and carry an error); User Guide, "Multipart upload
limits".
"""
import base64
import binascii
import fnmatch
import hashlib
import struct
import urllib.parse

import wire
from wire import Refusal

MIN_PART = 5 << 20  # bytes, of each part but the last
MOST_PARTS = 10000
LATE_ID = "656c76696e6727732072657175657374"  # of an answer that is made past wire.answer
TOLD_AT_PUT = ("ServerSideEncryption", "SSEKMSKeyId")
SUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumSHA1", "ChecksumSHA256")


def _crc32c_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


CRC32C = tuple(_crc32c_table())


def _crc32c(body):
    value = 0xFFFFFFFF
    for byte in body:
        value = CRC32C[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def checksum(name, body):
    """In base64, as in x-amz-checksum-…."""
    made = {"ChecksumCRC32": lambda: struct.pack(">I", binascii.crc32(body)),
            "ChecksumCRC32C": lambda: struct.pack(">I", _crc32c(body)),
            "ChecksumSHA1": lambda: hashlib.sha1(body).digest(),
            "ChecksumSHA256": lambda: hashlib.sha256(body).digest()}[name]()
    return base64.b64encode(made).decode()


class Uploads:
    """The part of S3 that is about them."""

    def CreateMultipartUpload(self, params, identity):
        self._bucket(params, identity, "PutObject")
        self._check_names(params)
        number = f"upload-{next(self.numbers):08d}"
        self.uploads[number] = {"bucket": params["Bucket"], "key": params["Key"], "params": params, "parts": {},
                                "time": self.world.now().replace(microsecond=0)}
        return {"Bucket": params["Bucket"], "Key": params["Key"], "UploadId": number} | \
            {key: params[key] for key in (*TOLD_AT_PUT, "ChecksumAlgorithm") if key in params}

    def _upload(self, params):
        upload = self.uploads.get(params["UploadId"])
        if upload is None or (upload["bucket"], upload["key"]) != (params["Bucket"], params["Key"]):
            raise Refusal("NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may "
                          "have been aborted or completed.", 404, elements={"UploadId": params["UploadId"]})
        return upload

    def UploadPart(self, params, identity):
        self._bucket(params, identity, "PutObject")
        upload = self._upload(params)
        if not 1 <= params["PartNumber"] <= MOST_PARTS:
            raise Refusal("InvalidArgument", f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive")
        body = params.get("Body", b"")
        self._check_body(params, body)
        wanted = upload["params"].get("ChecksumAlgorithm")
        made = self._object(body, params | ({"ChecksumAlgorithm": wanted} if wanted else {}))
        upload["parts"][params["PartNumber"]] = made
        return {"ETag": made["etag"]} | self._told(made, SUMS)

    def ListParts(self, params, identity):
        self._bucket(params, identity, "ListMultipartUploadParts")
        upload = self._upload(params)
        after, most = params.get("PartNumberMarker", 0), params.get("MaxParts", 1000)
        if isinstance(after, str):
            after = int(after or 0)
        numbers = [number for number in sorted(upload["parts"]) if number > after]
        told = {"Bucket": params["Bucket"], "Key": params["Key"], "UploadId": params["UploadId"], "MaxParts": most,
                "IsTruncated": len(numbers) > most}
        parts = [{"PartNumber": number, "ETag": upload["parts"][number]["etag"], "Size": len(upload["parts"][number]["body"]),
                  "LastModified": upload["parts"][number]["time"]} for number in numbers[:most]]
        return told | ({"Parts": parts, "NextPartNumberMarker": parts[-1]["PartNumber"]} if parts else {})

    def ListMultipartUploads(self, params, identity):
        self._bucket(params, identity, "ListBucketMultipartUploads")
        prefix = params.get("Prefix", "")
        found = [{"UploadId": number, "Key": one["key"], "Initiated": one["time"], "StorageClass": "STANDARD"}
                 for number, one in self.uploads.items() if one["bucket"] == params["Bucket"] and one["key"].startswith(prefix)]
        return {"Bucket": params["Bucket"], "IsTruncated": False, "MaxUploads": 1000} | ({"Uploads": found} if found else {})

    def AbortMultipartUpload(self, params, identity):
        self._bucket(params, identity, "AbortMultipartUpload")
        self._upload(params)
        del self.uploads[params["UploadId"]]
        return {}

    def CompleteMultipartUpload(self, params, identity):
        bucket = self._bucket(params, identity, "PutObject")
        if params["UploadId"] in self.completed:  # the same call again is answered again
            return self.completed[params["UploadId"]]
        upload = self._upload(params)
        self._check_conditions(bucket, params)
        parts = self._chosen(upload, params.get("MultipartUpload", {}).get("Parts", []))
        body = b"".join(part["body"] for part in parts)
        if params.get("MpuObjectSize", len(body)) != len(body):
            raise Refusal("InvalidRequest", "The size of the object does not match x-amz-mp-object-size")
        error = self._ordered_error(params["Key"])
        if error and not error.get("done"):
            return self._late_error(error)
        digest = hashlib.md5(b"".join(bytes.fromhex(part["etag"][1:-1]) for part in parts)).hexdigest()
        settings = {key: value for key, value in upload["params"].items() if key not in ("ChecksumAlgorithm", *SUMS)}
        made = self._object(body, settings, f'"{digest}-{len(parts)}"')
        made["kept"] |= self._sum_of_sums(upload, parts)
        bucket["objects"][params["Key"]] = made
        del self.uploads[params["UploadId"]]
        told = {"Bucket": params["Bucket"], "Key": params["Key"], "ETag": made["etag"],
                "Location": f"http://{params['Bucket']}.s3.{identity.region}.amazonaws.com/{urllib.parse.quote(params['Key'])}"}
        told |= self._told(made, (*TOLD_AT_PUT, *SUMS))
        self.completed[params["UploadId"]] = told
        return self._late_error(error) if error else told

    @staticmethod
    def _sum_of_sums(upload, parts):
        name = "Checksum" + upload["params"].get("ChecksumAlgorithm", "")
        if name not in SUMS:
            return {}
        every = b"".join(base64.b64decode(part["kept"][name]) for part in parts)
        return {name: f"{checksum(name, every)}-{len(parts)}"}

    @staticmethod
    def _chosen(upload, wanted):
        if not wanted:
            raise Refusal("MalformedXML", "The XML you provided was not well-formed or did not validate against our "
                          "published schema")
        numbers = [one.get("PartNumber", 0) for one in wanted]
        if numbers != sorted(set(numbers)):
            raise Refusal("InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in "
                          "order by part number.")
        chosen = []
        for one in wanted:
            part = upload["parts"].get(one.get("PartNumber", 0))
            sums_differ = part and any(one.get(name, part["kept"].get(name)) != part["kept"].get(name) for name in SUMS)
            if part is None or one.get("ETag") not in (part["etag"], part["etag"][1:-1]) or sums_differ:
                raise Refusal("InvalidPart", "One or more of the specified parts could not be found. The part may not have been "
                              "uploaded, or the specified entity tag may not match the part's entity tag.",
                              elements={"PartNumber": str(one.get("PartNumber", ""))})
            chosen.append(part)
        small = [number for number, part in zip(numbers[:-1], chosen) if len(part["body"]) < MIN_PART]
        if small:
            raise Refusal("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
                          elements={"PartNumber": str(small[0]), "MinSizeAllowed": str(MIN_PART)})
        return chosen

    def _ordered_error(self, key):
        for order in self.complete_errors:
            if fnmatch.fnmatchcase(key, order.get("key", "*")):
                order["times"] = order.get("times", 1) - 1
                if order["times"] <= 0:
                    self.complete_errors.remove(order)
                return order
        return None

    @staticmethod
    def _late_error(order):
        """The status was sent before the work was done; spaces kept the connection open meanwhile."""
        code = order.get("code", "InternalError")
        message = order.get("message", "We encountered an internal error. Please try again.")
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n    <Error><Code>{code}</Code><Message>{message}</Message>'
                f"<RequestId>{LATE_ID}</RequestId><HostId>host</HostId></Error>")
        return wire.Answer(200, {"Content-Type": "application/xml", "x-amz-request-id": LATE_ID}, text.encode())
