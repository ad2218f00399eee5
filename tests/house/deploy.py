#!/usr/bin/env python3
"""What is deployed to clusters: hadolint has no objection to the Containerfile; Helm's own library
lints and renders the chart, whatever values it is given; what it renders is of Kubernetes' schemas,
fits together, and has options that lorafsd knows.

LORAFSD names the program, LF_SOURCE the checkout.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

try:
    import helm_python
    import kubernetes_validate
    import yaml
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

SHARE = pathlib.Path(os.environ["LF_SOURCE"]) / "share"
CHART = SHARE / "helm" / "lorafs"
CONTAINERFILE = SHARE / "container" / "Containerfile"
VERSIONS = ["1.25", kubernetes_validate.latest_version()]  # Chart.yaml's oldest, and the newest

OPEN = {"auth": {"insecure": True}}
FULL = {
    "image": {"repository": "registry.example/lorafs", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "base": "mistralai/Mistral-7B-v0.1",
    "hub": {"endpoint": "https://hub.example", "existingSecret": "hub"},
    "options": {"memory": "40GB", "host-memory": 68719476736, "pin": ["a", "b"],
                "allow-load": True},
    "auth": {"existingSecret": "keys", "secretKey": "admin"},
    "tls": {"existingSecret": "tls"},
    "gpu": {"count": 1, "runtimeClassName": "nvidia"},
    "resources": {"requests": {"cpu": "4"}, "limits": {"memory": "64Gi"}},
    "persistence": {"storageClass": "fast", "annotations": {"a": "b"}},
    "bases": {"existingClaim": "bases"},
    "ingress": {"enabled": True, "className": "nginx", "host": "lorafs.example",
                "tlsSecret": "web"},
    "serviceAccount": {"annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"a": "b"}, "podLabels": {"team": "ml"},
    "nodeSelector": {"gpu": "h200"}, "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}}, "priorityClassName": "high",
    "extraEnv": [{"name": "A", "value": "b"}],
    "extraVolumes": [{"name": "models", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "models", "mountPath": "/models"}],
}
BARE = {
    "auth": {"apiKey": "secret"}, "fullnameOverride": "x" * 70,
    "persistence": {"enabled": False}, "bases": {"enabled": False},
    "serviceAccount": {"create": False},
    "serviceMonitor": {"enabled": True, "existingSecret": "scrape"},
}


def render(values):
    """The objects by their kind; the pod of `helm test` is a Pod."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        made = chart.render(values, name="demo", namespace="prod")
    documents = [d for name, text in made.items() if name.endswith(".yaml")
                 for d in yaml.safe_load_all(text) if d]
    return {d["kind"]: d for d in documents}


def daemon_of(objects):
    pod = objects["StatefulSet"]["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


class Container(unittest.TestCase):
    def test_hadolint_has_no_objection(self):
        program = pathlib.Path(sys.executable).parent / "hadolint"
        done = subprocess.run([program, "--no-color", CONTAINERFILE], capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


class Chart(unittest.TestCase):
    def test_helm_lints_it(self):
        found = helm_python.lint(CHART)
        self.assertEqual(found["errors"], [])
        worse = [m for m in found["messages"] if m["error"] != "icon is recommended"]
        self.assertEqual(worse, [])

    def test_what_it_renders_is_of_kubernetes_schemas(self):
        for values in (OPEN, FULL, BARE):
            for kind, document in render(values).items():
                for version in VERSIONS:
                    if kind != "ServiceMonitor":  # of Prometheus' operator
                        kubernetes_validate.validate(document, version, strict=True)

    def test_selectors_ports_and_volumes_meet(self):
        for values in (OPEN, FULL, BARE):
            objects = render(values)
            state, service = objects["StatefulSet"]["spec"], objects["Service"]
            labels = state["template"]["metadata"]["labels"].items()
            self.assertLessEqual(state["selector"]["matchLabels"].items(), labels)
            self.assertLessEqual(service["spec"]["selector"].items(), labels)
            self.assertFalse(service["spec"]["selector"].items() <=
                             objects["Pod"]["metadata"]["labels"].items())
            pod, daemon = daemon_of(objects)
            port = service["spec"]["ports"][0]
            self.assertEqual(port["targetPort"], daemon["ports"][0]["name"])
            volumes = {v["name"] for v in pod["volumes"]}
            claims = {c["metadata"]["name"] for c in state.get("volumeClaimTemplates") or []}
            self.assertFalse(volumes & claims)
            self.assertEqual(volumes | claims, {m["name"] for m in daemon["volumeMounts"]})
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                self.assertEqual(daemon[probe]["httpGet"]["path"], "/health")
            if "ServiceMonitor" in objects:
                monitor = objects["ServiceMonitor"]["spec"]
                self.assertEqual(monitor["endpoints"][0]["port"], port["name"])
                self.assertLessEqual(monitor["selector"]["matchLabels"].items(),
                                     service["metadata"]["labels"].items())

    def test_its_values_arrive(self):
        pod, daemon = daemon_of(render(FULL))
        for arg in ("--base=mistralai/Mistral-7B-v0.1", "--host-memory=68719476736",
                    "--memory=40GB", "--pin=a", "--pin=b", "--allow-load", "--device=cuda",
                    "--api-key-file=/etc/lorafs-key/admin", "--tls-key=/etc/lorafs-tls/tls.key"):
            self.assertIn(arg, daemon["args"])
        self.assertEqual(daemon["resources"], {
            "requests": {"cpu": "4"}, "limits": {"memory": "64Gi", "nvidia.com/gpu": 1}})
        self.assertTrue(daemon["image"].endswith("-cuda"))
        self.assertEqual(daemon["startupProbe"]["httpGet"]["scheme"], "HTTPS")
        self.assertIn({"name": "key", "secret": {"secretName": "keys"}}, pod["volumes"])
        objects = render(BARE)
        self.assertEqual(objects["Secret"]["data"], {"api-key": "c2VjcmV0"})
        scrape = objects["ServiceMonitor"]["spec"]["endpoints"][0]["authorization"]["credentials"]
        self.assertEqual(scrape, {"name": "scrape", "key": "api-key"})
        self.assertIn("--insecure", daemon_of(render(OPEN))[1]["args"])

    def test_the_daemon_knows_its_options(self):
        page = subprocess.run([os.environ["LORAFSD"], "--help"], capture_output=True, text=True,
                              check=True).stdout
        known = set(re.findall(r"--([a-z][a-z-]+)", page))
        schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
        used = set(schema["properties"]["options"]["propertyNames"]["not"]["enum"])
        for values in (OPEN, FULL, BARE):
            used |= {a[2:].split("=")[0] for a in daemon_of(render(values))[1]["args"]}
        self.assertLessEqual(used, known)

    def test_the_image_is_the_one_of_the_containerfile(self):
        image = CONTAINERFILE.read_text(encoding="utf-8")
        pod, daemon = daemon_of(render(OPEN))
        user = f'{pod["securityContext"]["runAsUser"]}:{pod["securityContext"]["runAsGroup"]}'
        self.assertIn(f"\nUSER {user}\n", image)
        self.assertIn(f'\nEXPOSE {daemon["ports"][0]["containerPort"]}\n', image)
        volumes = re.search(r"\nVOLUME (.*)\n", image).group(1).split()
        self.assertLessEqual(set(volumes), {m["mountPath"] for m in daemon["volumeMounts"]})

    def test_what_it_cannot_do_is_refused(self):
        with helm_python.Chart.load(CHART) as chart:
            for values in ({"imagee": {}}, {"gpu": {"count": 2}}, {"options": {"base": "/x"}},
                           {"options": {"itl-ms": 0.5}}, {"base": "../x"},
                           {"service": {"port": "x"}}):
                with self.assertRaises(helm_python.HelmError, msg=values):
                    chart.validate_schema(values)
            for values in ({}, {"auth": {"apiKey": "x", "insecure": True}},
                           {**OPEN, "ingress": {"enabled": True}}):
                with self.assertRaises(helm_python.HelmError, msg=values):
                    chart.render(values, name="demo", namespace="prod")


class Gateway(unittest.TestCase):
    """share/kubernetes: what stands behind Kubernetes' inference gateway."""

    def setUp(self):
        files = sorted((SHARE / "kubernetes").glob("*.yaml"))
        self.objects = [d for f in files
                        for d in yaml.safe_load_all(f.read_text(encoding="utf-8"))]
        self.assertGreater(len(self.objects), 8)

    def of(self, kind, name="lorafs"):
        found = [d for d in self.objects
                 if (d["kind"], d["metadata"]["name"]) == (kind, name)]
        self.assertEqual(len(found), 1, (kind, name))
        return found[0]

    def pods(self):
        return [self.of("Deployment")["spec"]["template"],
                self.of("StatefulSet", "lorafs-training")["spec"]["template"]]

    def test_kubernetes_own_are_of_its_schemas(self):
        for document in self.objects:
            group = document["apiVersion"].rpartition("/")[0]
            if group in ("", "apps", "networking.k8s.io"):
                for version in VERSIONS:
                    kubernetes_validate.validate(document, version, strict=True)

    def test_a_pool_is_of_the_v1_api(self):
        pool = self.of("InferencePool")
        self.assertEqual(pool["apiVersion"], "inference.networking.k8s.io/v1")
        self.assertEqual(set(pool["spec"]), {"selector", "targetPorts", "endpointPickerRef"})
        picker = pool["spec"]["endpointPickerRef"]
        self.assertLessEqual(set(picker), {"group", "kind", "name", "port", "failureMode"})
        self.assertIn("number", picker["port"])  # of a Service
        self.assertIn(picker["failureMode"], ("FailOpen", "FailClose"))

    def test_pool_route_services_and_pods_meet(self):
        pool, serving = self.of("InferencePool")["spec"], self.pods()[0]
        wanted = pool["selector"]["matchLabels"].items()
        self.assertEqual([wanted <= p["metadata"]["labels"].items() for p in self.pods()],
                         [True, False])
        ports = [p["containerPort"] for p in serving["spec"]["containers"][0]["ports"]]
        self.assertEqual([p["number"] for p in pool["targetPorts"]], ports)
        service = self.of("Service", "lorafs-training")["spec"]
        self.assertEqual([service["selector"].items() <= p["metadata"]["labels"].items()
                          for p in self.pods()], [False, True])
        first, rest = self.of("HTTPRoute")["spec"]["rules"]
        self.assertEqual(first["backendRefs"], [{
            "group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "lorafs"}])
        self.assertEqual(rest["backendRefs"], [{
            "name": "lorafs-training", "port": service["ports"][0]["port"]}])
        policy = self.of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
        for pod in self.pods():
            self.assertLessEqual(policy, pod["metadata"]["labels"].items())
        for document in self.objects:
            if document["kind"] == "InferenceObjective":
                self.assertEqual(document["spec"]["poolRef"], first["backendRefs"][0])

    def test_what_goes_to_the_pool_are_routes_of_the_daemon(self):
        routes = json.loads((SHARE.parent / "daemon/api/openapi.json").read_text(encoding="utf-8"))
        for match in self.of("HTTPRoute")["spec"]["rules"][0]["matches"]:
            self.assertEqual(match["path"]["type"], "Exact")
            self.assertIn("post", routes["paths"][match["path"]["value"]])

    def test_daemons_share_a_directory_and_have_volumes(self):
        page = subprocess.run([os.environ["LORAFSD"], "--help"], capture_output=True, text=True,
                              check=True).stdout
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
        for pod in self.pods():
            daemon = pod["spec"]["containers"][0]
            self.assertEqual(daemon["image"], f'lorafs:{chart["appVersion"]}-cuda')
            args = dict(a[2:].partition("=")[::2] for a in daemon["args"])
            self.assertLessEqual(set(args), set(re.findall(r"--([a-z][a-z-]+)", page)))
            mounts = {m["mountPath"] for m in daemon["volumeMounts"]}
            self.assertLessEqual({args["share"], args["data"]}, mounts)
            self.assertGreater(pod["spec"]["terminationGracePeriodSeconds"],
                               int(args["drain"]) + int(args.get("lame-duck", 0)))
        self.assertEqual(self.of("PersistentVolumeClaim", "lorafs-shared")["spec"]["accessModes"],
                         ["ReadWriteMany"])


if __name__ == "__main__":
    unittest.main()
