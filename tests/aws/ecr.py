"""ECR: repositories, images, tokens; and the registry itself, which an engine can push to and pull from (see registry.py).

Ordered beforehand:
    {"ecr": {"repositories": [{"name": "app", "immutable": true}],
             "images": [{"repository": "app", "tags": ["v1"], "layers": 1}],
             "endpoint": "http://127.0.0.1:5050",    another registry: it is the proxyEndpoint, and is asked for what was
                                                     pushed there; null: the double's own port
             "token_seconds": 43200}}                of the tokens given from now on; those given before with 0 are expired
Error texts are AWS's. Amazon ECR API Reference.
"""
import base64
import datetime
import hashlib
import itertools
import json
import urllib.error
import urllib.request

from registry import MANIFEST, MANIFEST_TYPES, Registry
from wire import Refusal


class Ecr:
    def __init__(self, world):
        self.world = world
        self.repositories = {}  # name -> {"facts", "images": digest -> image}
        self.tokens = {}  # password -> when it expires
        self.numbers = itertools.count(1)
        self.endpoint = None
        self.token_seconds = 12 * 3600
        self.registry = Registry(self)
        self.page = 100

    # --- what the test orders ---

    def control(self, orders):
        self.endpoint = orders.get("endpoint", self.endpoint)
        self.page = orders.get("page", self.page)
        for order in orders.get("repositories", []):
            self._make_repository(order["name"], "eu-west-1", "IMMUTABLE" if order.get("immutable") else "MUTABLE")
        for order in orders.get("images", []):
            self._make_image(order)
        if "token_seconds" in orders:
            self.token_seconds = orders["token_seconds"]
            if not self.token_seconds:
                self.tokens = dict.fromkeys(self.tokens, self.world.now())

    def _make_repository(self, name, region, mutability):
        facts = {"repositoryArn": f"arn:aws:ecr:{region}:{self.world.account}:repository/{name}",
                 "registryId": self.world.account, "repositoryName": name, "repositoryUri": f"{self._host()}/{name}",
                 "createdAt": self.world.now(), "imageTagMutability": mutability,
                 "imageScanningConfiguration": {"scanOnPush": False}, "encryptionConfiguration": {"encryptionType": "AES256"}}
        self.repositories[name] = {"facts": facts, "images": {}}
        return facts

    def _make_image(self, order):
        config = json.dumps({"made": next(self.numbers)}).encode()
        blob = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1024,
                "digest": f"sha256:{hashlib.sha256(config + b'layer').hexdigest()}"}
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config),
                       "digest": f"sha256:{hashlib.sha256(config).hexdigest()}"},
            "layers": [blob] * order.get("layers", 1)})
        for tag in order.get("tags", [None]):
            self.store(order["repository"], manifest, MANIFEST, tag)

    def _proxy(self):
        return self.endpoint or f"http://127.0.0.1:{self.world.port}"

    def _host(self):
        return self._proxy().partition("://")[2].rstrip("/")

    # --- what the registry asks too ---

    def repository(self, name):
        if name not in self.repositories:
            raise Refusal("RepositoryNotFoundException", f"The repository with name '{name}' does not exist in the registry "
                          f"with id '{self.world.account}'")
        return self.repositories[name]

    def store(self, name, manifest, media_type, tag):
        """The image, and whether it was there so already."""
        repository = self.repository(name)
        digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
        holder = self._tagged(repository, tag) if tag else None
        if holder and repository["facts"]["imageTagMutability"] == "IMMUTABLE":
            raise Refusal("ImageTagAlreadyExistsException", f"The image tag '{tag}' already exists in the '{name}' repository "
                          "and cannot be overwritten because the repository is immutable.")
        known = digest in repository["images"] and (tag is None or holder == digest)
        if holder and holder != digest:
            repository["images"][holder]["tags"].remove(tag)
        image = repository["images"].setdefault(digest, {
            "manifest": manifest, "type": media_type, "tags": [], "pushed": self.world.now(), "digest": digest})
        if tag and tag not in image["tags"]:
            image["tags"].append(tag)
        return image, known

    @staticmethod
    def _tagged(repository, tag):
        return next((digest for digest, image in repository["images"].items() if tag in image["tags"]), None)

    def find(self, name, reference):
        """By tag or digest; none where there is none."""
        repository = self.repository(name)
        digest = reference if reference.startswith("sha256:") else self._tagged(repository, reference)
        if digest in repository["images"]:
            return repository["images"][digest]
        return self._pushed_elsewhere(name, reference)

    def _pushed_elsewhere(self, name, reference):
        if self.endpoint is None:
            return None
        request = urllib.request.Request(f"{self.endpoint.rstrip('/')}/v2/{name}/manifests/{reference}",
                                         headers={"Accept": ", ".join(MANIFEST_TYPES)})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                manifest = answer.read().decode()
                media_type = answer.headers["Content-Type"]
        except (urllib.error.URLError, OSError):
            return None
        return self.store(name, manifest, media_type, None if reference.startswith("sha256:") else reference)[0]

    def password_is_good(self, password):
        """None: never given. False: expired."""
        expires = self.tokens.get(password)
        return None if expires is None else expires > self.world.now()

    # --- repositories and tokens ---

    def GetAuthorizationToken(self, params, identity):
        password = f"password-{next(self.numbers):06d}-" + "x" * 64
        expires = self.world.now() + datetime.timedelta(seconds=self.token_seconds)
        self.tokens[password] = expires
        return {"authorizationData": [{"authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
                                       "expiresAt": expires, "proxyEndpoint": self._proxy()}]}

    def CreateRepository(self, params, identity):
        name = params["repositoryName"]
        if name in self.repositories:
            raise Refusal("RepositoryAlreadyExistsException", f"The repository with name '{name}' already exists in the registry "
                          f"with id '{self.world.account}'")
        facts = self._make_repository(name, identity.region, params.get("imageTagMutability", "MUTABLE"))
        for key in ("imageScanningConfiguration", "encryptionConfiguration"):
            facts |= {key: params[key]} if key in params else {}
        return {"repository": facts}

    def DescribeRepositories(self, params, identity):
        if "repositoryNames" in params:
            return {"repositories": [self.repository(name)["facts"] for name in params["repositoryNames"]]}
        shown, more = self._pages([one["facts"] for _, one in sorted(self.repositories.items())], params)
        return {"repositories": shown} | more

    def DeleteRepository(self, params, identity):
        repository = self.repository(params["repositoryName"])
        if repository["images"] and not params.get("force"):
            raise Refusal("RepositoryNotEmptyException", f"The repository with name '{params['repositoryName']}' in registry "
                          f"with id '{self.world.account}' cannot be deleted because it still contains images")
        del self.repositories[params["repositoryName"]]
        return {"repository": repository["facts"]}

    def PutImageTagMutability(self, params, identity):
        facts = self.repository(params["repositoryName"])["facts"]
        facts["imageTagMutability"] = params["imageTagMutability"]
        return {"registryId": self.world.account, "repositoryName": params["repositoryName"],
                "imageTagMutability": params["imageTagMutability"]}

    def _pages(self, items, params):
        token, size = params.get("nextToken", "0"), min(params.get("maxResults", 100), self.page)
        if not token.isdigit():
            raise Refusal("InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint")
        start = int(token)
        more = {"nextToken": str(start + size)} if start + size < len(items) else {}
        return items[start:start + size], more

    # --- images ---

    def _image(self, name, image, tag=None):
        told = {"registryId": self.world.account, "repositoryName": name, "imageManifest": image["manifest"],
                "imageManifestMediaType": image["type"], "imageId": {"imageDigest": image["digest"]}}
        if tag:
            told["imageId"]["imageTag"] = tag
        return told

    def BatchGetImage(self, params, identity):
        name = params["repositoryName"]
        images, failures = [], []
        self.repository(name)
        for wanted in params["imageIds"]:
            reference = wanted.get("imageDigest") or wanted.get("imageTag")
            image = self.find(name, reference) if reference else None
            if image is None or wanted.get("imageTag", *image["tags"][:1]) not in [*image["tags"], None]:
                failures.append({"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"})
            else:
                images.append(self._image(name, image, wanted.get("imageTag")))
        return {"images": images, "failures": failures}

    def DescribeImages(self, params, identity):
        name = params["repositoryName"]
        repository = self.repository(name)
        if "imageIds" in params:
            found = []
            for wanted in params["imageIds"]:
                image = self.find(name, wanted.get("imageDigest") or wanted.get("imageTag", ""))
                if image is None:
                    said = f"{{imageDigest:'{wanted.get('imageDigest', 'null')}', imageTag:'{wanted.get('imageTag', 'null')}'}}"
                    raise Refusal("ImageNotFoundException", f"The image with imageId {said} does not exist within the repository "
                                  f"with name '{name}' in the registry with id '{self.world.account}'")
                found.append(image)
            return {"imageDetails": [self._details(name, image) for image in found]}
        wanted = params.get("filter", {}).get("tagStatus", "ANY")
        found = [image for image in repository["images"].values()
                 if wanted == "ANY" or bool(image["tags"]) == (wanted == "TAGGED")]
        shown, more = self._pages([self._details(name, image) for image in found], params)
        return {"imageDetails": shown} | more

    def _details(self, name, image):
        layers = json.loads(image["manifest"]).get("layers", [])
        told = {"registryId": self.world.account, "repositoryName": name, "imageDigest": image["digest"],
                "imagePushedAt": image["pushed"], "imageSizeInBytes": sum(layer["size"] for layer in layers),
                "imageManifestMediaType": image["type"]}
        return told | ({"imageTags": list(image["tags"])} if image["tags"] else {})

    def ListImages(self, params, identity):
        images = self.repository(params["repositoryName"])["images"].values()
        wanted = params.get("filter", {}).get("tagStatus", "ANY")
        found = [{"imageDigest": image["digest"]} | ({"imageTag": tag} if tag else {})
                 for image in images for tag in image["tags"] or [None]
                 if wanted == "ANY" or bool(tag) == (wanted == "TAGGED")]
        shown, more = self._pages(found, params)
        return {"imageIds": shown} | more

    def PutImage(self, params, identity):
        name, manifest, tag = params["repositoryName"], params["imageManifest"], params.get("imageTag")
        self.repository(name)
        try:
            media_type = params.get("imageManifestMediaType") or json.loads(manifest)["mediaType"]
        except (ValueError, KeyError, TypeError):
            raise Refusal("InvalidParameterException", "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "
                          "'Invalid JSON syntax'") from None
        digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
        if params.get("imageDigest", digest) != digest:
            raise Refusal("ImageDigestDoesNotMatchException", "The specified image digest does not match the digest that Amazon "
                          "ECR calculated for the image.")
        image, known = self.store(name, manifest, media_type, tag)
        if known:
            raise Refusal("ImageAlreadyExistsException", f"Image with digest '{digest}' and tag '{tag}' already exists in the "
                          f"repository with name '{name}' in registry with id '{self.world.account}'")
        return {"image": self._image(name, image, tag)}

    def BatchDeleteImage(self, params, identity):
        name = params["repositoryName"]
        repository = self.repository(name)
        done, failures = [], []
        for wanted in params["imageIds"]:
            image = self.find(name, wanted.get("imageDigest") or wanted.get("imageTag", ""))
            if image is None:
                failures.append({"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"})
                continue
            if "imageTag" in wanted and "imageDigest" not in wanted:
                image["tags"].remove(wanted["imageTag"])
            if "imageDigest" in wanted or not image["tags"]:
                del repository["images"][image["digest"]]
            done.append({"imageDigest": image["digest"]} | ({"imageTag": wanted["imageTag"]} if "imageTag" in wanted else {}))
        return {"imageIds": done, "failures": failures}
