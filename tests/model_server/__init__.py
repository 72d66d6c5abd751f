"""A model server on loopback that is as strict as TensorFlow Serving, and shares no code with what it tests.

Read off TensorFlow Serving at 9d981c5 (July 2026); each rule names its file below `tensorflow_serving/`:

- `source`: which versions are aspired, poll by poll (`sources/storage_path/file_system_storage_path_source.cc`);
- `lifecycle`: how they are loaded, tried again, given up and unloaded, and what is told of them (`core/`,
  `util/retrier.cc`);
- `core`: how a config file is followed, and how a server starts (`model_servers/server_core.cc`, `server.cc`);
- `interfaces`: gRPC and REST; `saved_model`: the answers.
"""

from tests.model_server.core import ModelServer, StartFailed, serve
from tests.model_server.interfaces import Refused

__all__ = ["ModelServer", "Refused", "StartFailed", "serve"]
