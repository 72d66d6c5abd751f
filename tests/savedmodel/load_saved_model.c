// Loads a SavedModel by TensorFlow's C API and says what came of it: "loaded", or the loader's message.
#include <stdio.h>

#include "tensorflow/c/c_api.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const char* tags[] = {"serve"};
  TF_Status* status = TF_NewStatus();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Graph* graph = TF_NewGraph();
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  const int failed = TF_GetCode(status) != TF_OK;
  puts(failed ? TF_Message(status) : "loaded");
  if (!failed) {
    TF_CloseSession(session, status);
    TF_DeleteSession(session, status);
  }
  TF_DeleteGraph(graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteStatus(status);
  return failed;
}
